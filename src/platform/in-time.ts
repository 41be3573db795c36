/** A bound on waiting. What was asked for goes on; its outcome, a failure too, is nobody's any more. */

/** What the promise becomes, if it does so in time. @throws `late()` after `msMax`, or what the promise throws */
export async function inTime<T>(
  promise: Promise<T>,
  msMax: number,
  late: () => Error = () => new Error(`no answer within ${msMax} ms`),
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), msMax).unref()
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}
