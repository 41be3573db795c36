/**
 * The one way in which a configured model pattern meets a requested model name. `*` stands for any run of characters,
 * also an empty one and also across `/`; everything else stands for itself, case included. No regular expression is
 * built, so nothing that a caller or an operator writes can make matching explode.
 */

/** Whether the whole of `name` is described by `glob`. The name is passed over once, left to right, without stepping back. */
export function matchesGlob(glob: string, name: string): boolean {
  const firstStar = glob.indexOf("*")
  if (firstStar === -1) return glob === name

  const lastStar = glob.lastIndexOf("*")
  const headLength = firstStar
  const tailLength = glob.length - lastStar - 1
  // Head and tail may not share characters of the name: `ab*ba` does not describe `aba`.
  if (name.length < headLength + tailLength) return false
  if (!name.startsWith(glob.slice(0, firstStar)) || !name.endsWith(glob.slice(lastStar + 1))) return false

  // Taking each middle piece where it first occurs leaves the most room for the next one, so no choice is ever undone.
  const end = name.length - tailLength
  let at = headLength
  for (const piece of glob.slice(firstStar, lastStar).split("*")) {
    if (piece === "") continue
    const found = name.indexOf(piece, at)
    if (found === -1 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}

/** Whether the pattern names exactly one model. */
export function isExactModel(glob: string): boolean {
  return !glob.includes("*")
}
