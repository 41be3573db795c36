/** The figure of one line of an app's page `/metrics`; `series` is its name with its labels, as the page writes them. */
export async function figure(url: string, series: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text()
  const line = page.split("\n").find((text) => text.startsWith(`${series} `))
  if (line === undefined) throw new Error(`there is no ${series} on the page`)
  return Number(line.slice(series.length + 1))
}
