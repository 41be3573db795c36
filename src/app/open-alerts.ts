/** Opens what tells people: the watch that raises alerts, the schedule of digests, and the worker that delivers both. */
import type { Registry } from "prom-client"
import type { AlertOptions } from "../admin/alert-shape.ts"
import { AlertWatch } from "../alerts/alert-watch.ts"
import { DeliveryFigures } from "../alerts/delivery-metrics.ts"
import { DeliveryWorker } from "../alerts/delivery-worker.ts"
import { DigestSchedule } from "../alerts/digest-schedule.ts"
import type { ProcessState } from "../alerts/look.ts"
import { AlertRetention } from "../alerts/retention.ts"
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
  readonly registry: Registry
  readonly box: SecretBox
  readonly findSheet: FindSheet
  readonly process: ProcessState
}

/** Starts all of them; returns what the admin API is given of alerts. */
export function openAlerts(config: Config, parts: AlertParts, closing: Closing): AlertOptions {
  const { sql, clock, log, registry, box, findSheet, process } = parts
  const baseUrl = config.alerts.base_url ?? null
  const worker = new DeliveryWorker({ sql, clock, log, ...sendOptions(config, box) })
  const figures = new DeliveryFigures({ sql, log })
  figures.register(registry, worker, clock.nowMs)
  const regular = {
    "alert deliveries": worker,
    "figures of deliveries": figures,
    "old alerts": new AlertRetention({ sql, clock, log }),
    digests: new DigestSchedule({ sql, clock, log, findSheet, baseUrl }),
    alerts: new AlertWatch({ sql, clock, log, findSheet, process, baseUrl }),
  }
  for (const [name, one] of Object.entries(regular)) {
    one.start()
    closing.add(name, () => one.stop())
  }
  return { worker, baseUrl, allowsPrivate: config.alerts.allow_private_targets }
}

function sendOptions({ alerts }: Config, box: SecretBox): SendOptions {
  const { smtp_url: smtpUrl, from, allow_private_targets: allowPrivate } = alerts
  return { box, mail: smtpUrl === undefined || from === undefined ? null : { smtpUrl, from }, allowPrivate }
}
