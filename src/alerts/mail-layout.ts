/**
 * The parts that mails are made of. Pure. Tables and inline styles, since that is what every mail program shows: bars are
 * cells with a background, so that charts need neither images nor SVG. The style sheet adds what some programs can do
 * besides, dark colours and narrow screens; without it a mail is whole in light colours.
 */

/** Light and dark, by what the colour is for; the dashboard's own. */
const COLOURS = {
  page: ["#f6f6f4", "#0e1013"],
  surface: ["#ffffff", "#16191d"],
  sunken: ["#efefec", "#1f2329"],
  line: ["#e3e3df", "#2b3037"],
  ink: ["#16191d", "#eceef0"],
  ink2: ["#4c525b", "#b3bac3"],
  ink3: ["#656b75", "#929aa5"],
  bar: ["#3d4652", "#a7b0bb"],
  warn: ["#8a5300", "#f2b84b"],
  warnfill: ["#bd7600", "#dd9f27"],
  warnsoft: ["#fcf1dc", "#2f2510"],
  bad: ["#b3261e", "#ff8f86"],
  badfill: ["#d2342b", "#ea5f57"],
  badsoft: ["#fdeceb", "#371a19"],
} as const
type Colour = keyof typeof COLOURS

const FONT = "Inter,-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
const WARN_PERCENT = 70
const BAD_PERCENT = 90

/** How urgent something is: nothing to do, soon, now. */
export type Tone = "plain" | "warn" | "bad"

export function toneOf(percent: number | null): Tone {
  if (percent === null || percent >= BAD_PERCENT) return "bad"
  return percent >= WARN_PERCENT ? "warn" : "plain"
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign)
}

type Colours = { readonly text?: Colour; readonly back?: Colour; readonly edge?: Colour }

/** Class and inline style in one: colours by class as well, so that the style sheet can turn them dark. */
function look({ text, back, edge }: Colours, style: string, name = ""): string {
  const classes = [name, text && `t-${text}`, back && `b-${back}`, edge && `e-${edge}`].filter(Boolean).join(" ")
  const inline = [
    text && `color:${COLOURS[text][0]}`,
    back && `background-color:${COLOURS[back][0]}`,
    edge && `border-color:${COLOURS[edge][0]}`,
  ]
  return `class="${classes}" style="${[...inline.filter(Boolean), style].join(";")}"`
}

function styleSheet(): string {
  const dark = Object.entries(COLOURS).map(
    ([name, [, value]]) =>
      `.t-${name}{color:${value}!important}.b-${name}{background-color:${value}!important}.e-${name}{border-color:${value}!important}`,
  )
  return [
    ":root{color-scheme:light dark;supported-color-schemes:light dark}",
    `@media (prefers-color-scheme:dark){${dark.join("")}}`,
    "@media (max-width:480px){.card{padding:20px 16px!important}.outer{padding:16px 8px!important}.hero{font-size:34px!important;line-height:38px!important}}",
  ].join("\n")
}

export const TABLE = `role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"`

/** A whole mail. `preview` is what lists of mails show beside the subject. */
export function mailPage(parts: {
  readonly title: string
  readonly preview: string
  /** Whom it is about, at the top. */
  readonly about: string
  /** HTML. */
  readonly body: readonly string[]
  readonly foot: string
}): string {
  const { title, preview, about, body, foot } = parts
  const small = "font-size:12px;line-height:16px"
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>`,
    `<meta name="viewport" content="width=device-width,initial-scale=1">`,
    `<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">`,
    `<style>${styleSheet()}</style></head>`,
    `<body ${look({ text: "ink", back: "page" }, `margin:0;padding:0;font-family:${FONT};font-size:14px;line-height:20px;-webkit-text-size-adjust:100%`)}>`,
    `<div style="display:none;max-height:0;overflow:hidden">${escaped(preview)}</div>`,
    `<table ${TABLE} ${look({ back: "page" }, "")}><tr><td class="outer" align="center" style="padding:28px 12px">`,
    `<table ${TABLE} style="max-width:600px;font-family:${FONT};text-align:left">`,
    `<tr><td style="padding:0 4px 12px"><table ${TABLE}><tr>`,
    `<td ${look({ text: "ink" }, "font-size:14px;line-height:20px;font-weight:700;letter-spacing:-0.01em")}>Tallygate</td>`,
    `<td align="right" ${look({ text: "ink3" }, small)}>${escaped(about)}</td></tr></table></td></tr>`,
    `<tr><td><table ${TABLE} ${look({ back: "surface", edge: "line" }, "border-width:1px;border-style:solid;border-radius:12px;border-collapse:separate")}>`,
    `<tr><td class="card" style="padding:28px">`,
    ...body,
    "</td></tr></table></td></tr>",
    `<tr><td ${look({ text: "ink3" }, `padding:16px 4px 0;${small}`)}>${foot}</td></tr>`,
    "</table></td></tr></table></body></html>",
  ].join("\n")
}

export function heading(text: string): string {
  return `<h1 ${look({ text: "ink" }, "margin:0;font-size:20px;line-height:28px;font-weight:650;letter-spacing:-0.015em")}>${escaped(text)}</h1>`
}

/** Above a part of a mail, apart from what was before. */
export function partHeading(text: string, more = ""): string {
  const note = more === "" ? "" : ` <span ${look({ text: "ink3" }, "font-weight:400")}>${escaped(more)}</span>`
  return `<h2 ${look({ text: "ink" }, "margin:28px 0 8px;font-size:14px;line-height:20px;font-weight:600")}>${escaped(text)}${note}</h2>`
}

/** The one figure that a mail is about. */
export function heroFigure(text: string): string {
  return `<div ${look({ text: "ink" }, "margin:4px 0 4px;font-size:40px;line-height:44px;font-weight:650;letter-spacing:-0.03em", "hero")}>${escaped(text)}</div>`
}

export function note(text: string, tone: "ink2" | "ink3" = "ink2"): string {
  return `<p ${look({ text: tone }, "margin:0;font-size:14px;line-height:20px")}>${escaped(text)}</p>`
}

/** A word or two on a ground of its own. */
export function pill(text: string, tone: Tone): string {
  const colours =
    tone === "plain" ? ({ text: "ink2", back: "sunken" } as const) : ({ text: tone, back: `${tone}soft` } as const)
  return `<div style="margin:0 0 12px"><span ${look(colours, "display:inline-block;padding:2px 8px;border-radius:6px;font-size:12px;line-height:16px;font-weight:600")}>${escaped(text)}</span></div>`
}

/** What there is to do, on a ground of its own. */
export function advice(text: string): string {
  return `<table ${TABLE} style="margin:24px 0 0"><tr><td ${look({ text: "ink2", back: "sunken" }, "padding:12px 16px;border-radius:8px;font-size:14px;line-height:20px")}>${escaped(text)}</td></tr></table>`
}

export function button(text: string, href: string): string {
  const link = look(
    { text: "surface", back: "ink" },
    "display:inline-block;padding:10px 16px;border-radius:8px;font-size:14px;line-height:20px;font-weight:600;text-decoration:none",
  )
  return `<div style="margin:24px 0 0"><a href="${escaped(href)}" ${link}>${escaped(text)}</a></div>`
}

/** A bar of so many percent of the width, which stops at its end. */
export function meter(percent: number, tone: Tone, heightPx = 6): string {
  const width = Math.min(100, Math.max(0, percent))
  const fill = tone === "plain" ? "bar" : (`${tone}fill` as const)
  const cell = `height:${heightPx}px;font-size:0;line-height:${heightPx}px;border-radius:3px`
  const filled = width === 0 ? "" : `<td width="${width}%" ${look({ back: fill }, cell)}>&nbsp;</td>`
  const rest = width === 100 ? "" : `<td style="${cell}">&nbsp;</td>`
  return `<table ${TABLE} ${look({ back: "sunken" }, "border-radius:3px;border-collapse:separate")}><tr>${filled}${rest}</tr></table>`
}

export type Row = {
  readonly name: string
  readonly value: string
  /** Beside the value, less of it. */
  readonly more?: string
  /** Under both. */
  readonly note?: string
  readonly bar?: { readonly percent: number; readonly tone: Tone }
}

/** Names and values, a hairline between those without bars. */
export function rows(all: readonly Row[]): string {
  const lines = all.map(({ name, value, more, note: under, bar }, index) => {
    const edge = bar === undefined && index > 0 ? ";border-top-width:1px;border-top-style:solid" : ""
    const padding = bar === undefined ? "7px 0" : "7px 0 5px"
    const beside =
      more === undefined || more === ""
        ? ""
        : ` <span ${look({ text: "ink3" }, "font-weight:400")}>${escaped(more)}</span>`
    const width = bar === undefined ? 'width="42%" ' : ""
    const cell = `padding:${padding};font-size:14px;line-height:20px;vertical-align:top${edge}`
    return [
      `<tr><td ${width}${look({ text: "ink2", edge: "line" }, `${cell};padding-right:16px;word-break:break-word`)}>${escaped(name)}</td>`,
      `<td align="right" ${look({ text: "ink", edge: "line" }, `${cell};font-weight:500;font-variant-numeric:tabular-nums`)}>${escaped(value)}${beside}</td></tr>`,
      bar === undefined ? "" : `<tr><td colspan="2" style="padding:0 0 4px">${meter(bar.percent, bar.tone)}</td></tr>`,
      under === undefined || under === ""
        ? ""
        : `<tr><td colspan="2" ${look({ text: "ink3" }, "padding:0 0 8px;font-size:12px;line-height:16px")}>${escaped(under)}</td></tr>`,
    ].join("")
  })
  return `<table ${TABLE}>${lines.join("\n")}</table>`
}

/** A few figures side by side. */
export function figures(all: readonly Row[]): string {
  const cells = all.map(
    ({ name, value, more = "" }) =>
      `<td width="${Math.floor(100 / all.length)}%" valign="top" style="padding:0 8px 0 0">
      <div ${look({ text: "ink3" }, "font-size:12px;line-height:16px")}>${escaped(name)}</div>
      <div ${look({ text: "ink" }, "font-size:18px;line-height:26px;font-weight:620;letter-spacing:-0.01em;white-space:nowrap")}>${escaped(value)}</div>
      <div ${look({ text: "ink3" }, "font-size:12px;line-height:16px")}>${escaped(more)}&nbsp;</div></td>`,
  )
  const edge = look(
    { edge: "line" },
    "margin:20px 0 0;border-top-width:1px;border-top-style:solid;border-collapse:separate",
  )
  return `<table ${TABLE} ${edge}><tr><td style="padding:16px 0 0"><table ${TABLE}><tr>${cells.join("")}</tr></table></td></tr></table>`
}

export type Column = { readonly label: string; readonly text: string; readonly percent: number }

const CHART_PX = 96

/** Columns beside one another, `percent` of the chart's height each; every `step`-th has its label below. */
export function columns(all: readonly Column[], step: number, said: string): string {
  const gap = all.length <= 8 ? 5 : 1
  const bars = all.map(({ label, text, percent }) => {
    const height = percent === 0 ? 1 : Math.max(2, Math.round((CHART_PX * percent) / 100))
    const cell = look(
      { back: percent === 0 ? "line" : "bar" },
      `height:${height}px;font-size:0;line-height:${height}px;border-radius:2px 2px 0 0`,
    )
    return `<td valign="bottom" title="${escaped(`${label}: ${text}`)}" style="height:${CHART_PX}px;padding:0 ${gap}px;vertical-align:bottom"><table ${TABLE}><tr><td ${cell}>&nbsp;</td></tr></table></td>`
  })
  const labels = all.flatMap(({ label }, index) => {
    if (index % step !== 0) return []
    const span = Math.min(step, all.length - index)
    const align = step === 1 ? "center" : "left"
    return `<td colspan="${span}" align="${align}" ${look({ text: "ink3" }, "padding:4px 1px 0;font-size:11px;line-height:14px;white-space:nowrap")}>${escaped(label)}</td>`
  })
  return `<table ${TABLE} aria-label="${escaped(said)}" style="margin:20px 0 0;table-layout:fixed"><tr>${bars.join("")}</tr><tr>${labels.join("")}</tr></table>`
}
