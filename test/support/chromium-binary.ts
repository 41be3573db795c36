/**
 * Finds Chromium for the tests, or brings it: unpacked from Debian's packages, which leaves the system as it was. Says in
 * one line what it did.
 */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { foldersOnPath, libraryEnvironment, unpackedRoot, unpackPackages } from "./debian-packages.ts"

export interface ChromiumBinary {
  path: string
  /** Set for an unpacked program, whose libraries stand beside it. */
  environment: Record<string, string>
}

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
/** The browser and the libraries that it is linked with; not the desktop that its package suggests to open files with. */
const LIBRARIES = [
  ...["asound", "asyncns", "atk", "atspi", "avahi", "brotli", "bsd", "cairo2", "cups", "datrie", "dav1d", "dbus-1"],
  ...["double-conversion", "drm", "elf", "expat", "flac", "fontconfig", "freetype", "fribidi", "gbm", "gl", "graphite"],
  ...["harfbuzz", "jpeg62", "jsoncpp", "lcms2", "md0", "minizip", "mp3lame", "mpg123", "nspr4", "nss3", "ogg"],
  ...["openh264", "openjp2", "opus", "pango", "pixman", "png16", "pulse0", "sndfile", "thai", "vorbis"],
  ...["wayland-client", "wayland-server", "x11", "xau", "xcb", "xcomposite", "xcursor", "xdamage", "xdmcp", "xext"],
  ...["xfixes", "xi6", "xkbcommon0", "xnvctrl", "xrandr", "xrender", "xshmfence", "xslt", "zstd"],
]
const PACKAGES = { name: "chromium", needed: new RegExp(`^(chromium|chromium-common|lib(${LIBRARIES.join("|")}).*)$`) }

/** The program found on PATH, else the unpacked one, made to be there. @throws when there is none and none can be brought. */
export function findChromiumBinary(): ChromiumBinary {
  const onPath = foldersOnPath().flatMap((folder) => PROGRAMS.map((program) => join(folder, program)))
  const found = onPath.find((path) => existsSync(path))
  if (found !== undefined) return announced("found", { path: found, environment: {} })
  const root = unpackedRoot("chromium")
  const unpacked = unpackedBinary(root)
  if (unpacked !== undefined) return announced("found the unpacked", unpacked)
  try {
    unpackPackages(root, PACKAGES)
  } catch (cause) {
    throw new Error("no Chromium here and none could be brought by apt-get: install chromium", { cause })
  }
  const brought = unpackedBinary(root)
  if (brought === undefined) throw new Error("apt-get went through, and yet there is no Chromium: install chromium")
  return announced("unpacked", brought)
}

function unpackedBinary(root: string): ChromiumBinary | undefined {
  const path = join(root, "usr/lib/chromium/chromium")
  if (!existsSync(path)) return undefined
  const { LD_LIBRARY_PATH: folders = "" } = libraryEnvironment(root)
  // PulseAudio keeps a library of its own in a folder below, which it finds where it is installed alone.
  const below = folders.split(delimiter).map((folder) => join(folder, "pulseaudio"))
  return { path, environment: { LD_LIBRARY_PATH: [folders, ...below].join(delimiter) } }
}

function announced(verb: string, binary: ChromiumBinary): ChromiumBinary {
  const env = { ...process.env, ...binary.environment }
  const version = execFileSync(binary.path, ["--version"], { encoding: "utf8", env }).trim()
  process.stderr.write(`tests: ${verb} ${version}, ${binary.path}\n`)
  return binary
}
