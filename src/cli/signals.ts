/** The signals that ask for an orderly end. A second one of a kind ends the process at once, as it would without us. */
export function askedToEnd(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal))
  })
}
