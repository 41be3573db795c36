/**
 * Tokens of pictures, sounds and documents in a prompt, by the formulas that providers publish: OpenAI ("Images and
 * vision", "Audio"), Anthropic ("Vision", "PDF support"), Google ("Understand and count tokens", "Media resolution").
 * What a formula needs (pixels, seconds, pages) is read off the first bytes; nothing is decoded. It is for estimates:
 * where a file does not say, a usual size is taken.
 */
import { bareName } from "./model-family.ts"
import type { Medium } from "./prompt.ts"

export type Pixels = { readonly width: number; readonly height: number }

export type MediaTokens = { readonly image: number; readonly audio: number; readonly other: number }

/** Enough to reach the size of a JPEG whose camera wrote a lot before it; a multiple of four, as base64 wants. */
const HEAD_BASE64_CHARS = 128 * 1024
/** A PDF that is longer is counted by its length. */
const PDF_BASE64_CHARS_MAX = 8 * 1024 * 1024
const PDF_BYTES_PER_PAGE = 50_000
/** Taken where a picture has to be fetched, or is of a format that is not known here. */
const USUAL_PIXELS: Pixels = { width: 1_024, height: 1_024 }
/** 128 kbit/s, a usual rate of compressed sound. */
const SOUND_BYTES_PER_SECOND = 16_000
/** Taken where a sound or a film has to be fetched. */
const USUAL_SECONDS = 30

/** Base and tokens of each tile of 512 pixels. First match counts. */
const OPENAI_TILES: readonly (readonly [RegExp, number, number])[] = [
  [/^gpt-4o-mini/, 2_833, 5_667],
  [/^o[13](?:$|-)/, 75, 150],
  [/^computer-use/, 65, 129],
  [/^gpt-[5-9]/, 70, 140],
  [/^(?:gpt-4|chatgpt-4o)/, 85, 170],
]
/** Tokens of each patch of 32 pixels. */
const OPENAI_PATCHES: readonly (readonly [RegExp, number])[] = [
  [/^(?:gpt-4\.1|gpt-[5-9](?:\.\d)?)-nano/, 2.46],
  [/^(?:gpt-4\.1|gpt-[5-9](?:\.\d)?)-mini/, 1.62],
  [/^o4-mini/, 1.72],
]
const OPENAI_PATCHES_MAX = 1_536
const PIXELS_PER_TOKEN = 750
/** Anthropic scales down to about 1.15 megapixels, since Opus 4.7 to 3.75. */
const CLAUDE_IMAGE_TOKENS_MAX = 1_600
const CLAUDE_NEW_IMAGE_TOKENS_MAX = 4_784
const GEMINI_TILE_TOKENS = 258
const GEMINI_3_IMAGE_TOKENS = 1_120
const GEMINI_AUDIO_TOKENS_PER_SECOND = 32
const GEMINI_VIDEO_TOKENS_PER_SECOND = 263
const AUDIO_TOKENS_PER_SECOND = 10
const PDF_TOKENS_PER_PAGE = 2_000
/** Two open the first boundary of a form, and no JSON. */
const DASH = 0x2d

/** Tokens of all media of a prompt; `family` is the model's family by name. */
export function mediaTokens(media: readonly Medium[], model: string, family: string): MediaTokens {
  const sum = { image: 0, audio: 0, other: 0 }
  for (const medium of media) {
    if (medium.kind === "image") sum.image += imageTokens(medium, model, family)
    else if (medium.kind === "audio") sum.audio += audioTokens(medium, family)
    else sum.other += medium.kind === "video" ? videoTokens(medium) : documentTokens(medium, family)
  }
  return sum
}

function imageTokens({ base64, isLowDetail }: Medium, model: string, family: string): number {
  const pixels = (base64 === null ? null : pixelsOf(headOf(base64))) ?? USUAL_PIXELS
  if (family === "gemini") return geminiImageTokens(pixels, model)
  if (family.startsWith("openai")) return openAiImageTokens(pixels, bareName(model), isLowDetail)
  const max = family === "claude-5" ? CLAUDE_NEW_IMAGE_TOKENS_MAX : CLAUDE_IMAGE_TOKENS_MAX
  return Math.min(max, Math.ceil((pixels.width * pixels.height) / PIXELS_PER_TOKEN))
}

/** A picture is fitted into 2,048 pixels, then its short side into 768, and cut into tiles; small models count patches. */
function openAiImageTokens({ width, height }: Pixels, name: string, isLowDetail: boolean): number {
  const perPatch = OPENAI_PATCHES.find(([pattern]) => pattern.test(name))?.[1]
  if (perPatch !== undefined) {
    const patches = Math.ceil(width / 32) * Math.ceil(height / 32)
    return Math.ceil(Math.min(patches, OPENAI_PATCHES_MAX) * perPatch)
  }
  const [, base, perTile] = OPENAI_TILES.find(([pattern]) => pattern.test(name)) ?? [null, 85, 170]
  if (isLowDetail) return base
  const fitted = Math.min(1, 2_048 / Math.max(width, height))
  const scale = fitted * Math.min(1, 768 / (Math.min(width, height) * fitted))
  return base + perTile * Math.ceil((width * scale) / 512) * Math.ceil((height * scale) / 512)
}

function geminiImageTokens({ width, height }: Pixels, model: string): number {
  if (/gemini-[3-9]/.test(model)) return GEMINI_3_IMAGE_TOKENS
  if (width <= 384 && height <= 384) return GEMINI_TILE_TOKENS
  const side = Math.min(768, Math.max(256, Math.floor(Math.min(width, height) / 1.5)))
  return GEMINI_TILE_TOKENS * Math.ceil(width / side) * Math.ceil(height / side)
}

function audioTokens({ base64 }: Medium, family: string): number {
  const seconds = base64 === null ? USUAL_SECONDS : secondsOf(headOf(base64), bytesIn(base64))
  return soundTokens(seconds, family)
}

/** Tokens of so many seconds of sound. */
export function soundTokens(seconds: number, family: string): number {
  return Math.ceil(seconds * (family === "gemini" ? GEMINI_AUDIO_TOKENS_PER_SECOND : AUDIO_TOKENS_PER_SECOND))
}

/** Seconds of the sound that a form in parts brings, whose fields are next to nothing beside it; null of another body. */
export function secondsOfForm(body: Uint8Array): number | null {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (bytes[0] !== DASH || bytes[1] !== DASH) return null
  const wave = bytes.indexOf("RIFF")
  return secondsOf(bytes.subarray(Math.max(0, wave)), bytes.length)
}

/** Only Google's models take films; a megabit a second is a usual rate of a small one. */
function videoTokens({ base64 }: Medium): number {
  const seconds = base64 === null ? USUAL_SECONDS : bytesIn(base64) / 125_000
  return Math.ceil(seconds * GEMINI_VIDEO_TOKENS_PER_SECOND)
}

function documentTokens({ base64 }: Medium, family: string): number {
  const pages = base64 === null ? 1 : pagesOf(base64)
  return pages * (family === "gemini" ? GEMINI_TILE_TOKENS : PDF_TOKENS_PER_PAGE)
}

function headOf(base64: string): Buffer {
  return Buffer.from(base64.slice(0, HEAD_BASE64_CHARS), "base64")
}

function bytesIn(base64: string): number {
  return Math.floor((base64.length * 3) / 4)
}

/** Width and height of a PNG, JPEG, GIF or WebP; null of anything else. */
export function pixelsOf(head: Buffer): Pixels | null {
  const pixels = pngPixels(head) ?? gifPixels(head) ?? webpPixels(head) ?? jpegPixels(head)
  return pixels === null || pixels.width === 0 || pixels.height === 0 ? null : pixels
}

function pngPixels(head: Buffer): Pixels | null {
  if (head.length < 24 || head.readUInt32BE(0) !== 0x89504e47) return null
  return { width: head.readUInt32BE(16), height: head.readUInt32BE(20) }
}

function gifPixels(head: Buffer): Pixels | null {
  if (head.length < 10 || head.toString("latin1", 0, 4) !== "GIF8") return null
  return { width: head.readUInt16LE(6), height: head.readUInt16LE(8) }
}

function webpPixels(head: Buffer): Pixels | null {
  if (head.length < 30 || head.toString("latin1", 8, 12) !== "WEBP") return null
  const form = head.toString("latin1", 12, 16)
  if (form === "VP8X") return { width: head.readUIntLE(24, 3) + 1, height: head.readUIntLE(27, 3) + 1 }
  if (form === "VP8L") {
    const bits = head.readUInt32LE(21)
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 }
  }
  return { width: head.readUInt16LE(26) & 0x3fff, height: head.readUInt16LE(28) & 0x3fff }
}

/** Segments follow one another, each with its length; the one that begins a frame has the size. */
function jpegPixels(head: Buffer): Pixels | null {
  if (head.length < 4 || head.readUInt16BE(0) !== 0xffd8) return null
  for (let at = 2; at + 9 <= head.length && head[at] === 0xff; ) {
    const marker = head[at + 1] ?? 0
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
    if (isFrame) return { height: head.readUInt16BE(at + 5), width: head.readUInt16BE(at + 7) }
    at += 2 + head.readUInt16BE(at + 2)
  }
  return null
}

/** A WAV states its bytes per second; of other sounds a usual rate is taken. */
export function secondsOf(head: Buffer, bytes: number): number {
  const isWave = head.length >= 32 && head.toString("latin1", 8, 12) === "WAVE"
  const bytesPerSecond = isWave ? head.readUInt32LE(28) : SOUND_BYTES_PER_SECOND
  return bytes / (bytesPerSecond > 0 ? bytesPerSecond : SOUND_BYTES_PER_SECOND)
}

/** Pages of a PDF, where they are not packed away; else by its length. */
function pagesOf(base64: string): number {
  const byLength = Math.max(1, Math.ceil(bytesIn(base64) / PDF_BYTES_PER_PAGE))
  if (base64.length > PDF_BASE64_CHARS_MAX) return byLength
  const stated = Buffer.from(base64, "base64")
    .toString("latin1")
    .match(/\/Type\s{0,4}\/Page(?![a-zA-Z])/g)?.length
  return stated ?? byLength
}
