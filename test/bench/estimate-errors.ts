/** Prints how far estimates are from what providers counted, as docs/metering.md has it. */
import { errorTable } from "../support/visible-output.ts"

process.stdout.write(`${errorTable()}\n`)
