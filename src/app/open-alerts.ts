/** Opens what tells people: the watch that raises alerts, and the worker that delivers them. */
import type { AlertOptions } from "../admin/alert-shape.ts"
import { AlertWatch } from "../alerts/alert-watch.ts"
import { DeliveryWorker } from "../alerts/delivery-worker.ts"
import type { ProcessState } from "../alerts/look.ts"
import type { SendOptions } from "../alerts/send.ts"
import type { Config } from "../config/schema.ts"
import type { Clock } from "../platform/clock.ts"
import type { Closing } from "../platform/closing.ts"
import type { Log } from "../platform/log.ts"
import type { Sql } from "../platform/postgres.ts"
import type { SecretBox } from "../platform/secret-box.ts"
import type { FindSheet } from "../reporting/token-classes.ts"

export type AlertParts = {
  readonly sql: Sql
  readonly clock: Clock
  readonly log: Log
  readonly box: SecretBox
  readonly findSheet: FindSheet
  readonly process: ProcessState
}

/** Starts both; returns what the admin API is given of alerts. */
export function openAlerts(config: Config, parts: AlertParts, closing: Closing): AlertOptions {
  const { sql, clock, log, box, findSheet, process } = parts
  const baseUrl = config.alerts.base_url ?? null
  const worker = new DeliveryWorker({ sql, clock, log, ...sendOptions(config, box) })
  worker.start()
  closing.add("alert deliveries", () => worker.stop())
  const watch = new AlertWatch({ sql, clock, log, findSheet, process, baseUrl })
  watch.start()
  closing.add("alerts", () => watch.stop())
  return { worker, baseUrl, allowsPrivate: config.alerts.allow_private_targets }
}

function sendOptions({ alerts }: Config, box: SecretBox): SendOptions {
  const { smtp_url: smtpUrl, from, allow_private_targets: allowPrivate } = alerts
  return { box, mail: smtpUrl === undefined || from === undefined ? null : { smtpUrl, from }, allowPrivate }
}
