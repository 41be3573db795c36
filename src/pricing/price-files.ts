/** Reads the price files of a folder from disk; what they say is judged by `loadPriceBook`. */
import { readdir, readFile } from "node:fs/promises"
import { basename, join } from "node:path"
import type { PriceFileText } from "./price-catalog.ts"

/** The `*.yaml` files of a folder, by name. Throws with the cause where the folder or a file cannot be read. */
export async function readPriceFiles(dir: string): Promise<readonly PriceFileText[]> {
  try {
    const names = (await readdir(dir)).filter((name) => name.endsWith(".yaml")).sort()
    return await Promise.all(names.map(async (name) => ({ name, text: await readFile(join(dir, name), "utf8") })))
  } catch (cause) {
    throw new Error(`Price files in ${dir} cannot be read.`, { cause })
  }
}

/** One price file by its path. Throws with the cause where it cannot be read. */
export async function readPriceFile(path: string): Promise<PriceFileText> {
  try {
    return { name: basename(path), text: await readFile(path, "utf8") }
  } catch (cause) {
    throw new Error(`The price file ${path} cannot be read.`, { cause })
  }
}
