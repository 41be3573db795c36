/**
 * What the supervisor and its workers say to one another over the channel that Node keeps between them. Structured
 * clones, not JSON: figures may be NaN. Calls and their bytes never travel here.
 */
import type { MetricObjectWithValues, MetricValue } from "prom-client"
import type { Config } from "../config/schema.ts"
import type { FirstRun } from "../identity/first-run.ts"
import type { Addresses } from "./listeners.ts"

/** A registry's figures as `getMetricsAsJSON` gives them. */
export type Figures = MetricObjectWithValues<MetricValue<string>>[]

/** What a start tells: the first worker's becomes the greeting. */
export type Listening = Addresses & { readonly version: string; readonly firstRun: FirstRun }

export type ToWorker =
  /** The supervisor's configuration, so that a worker that is started later runs with the same one. */
  | { readonly kind: "start"; readonly worker: number; readonly config: Config }
  /** Goes on with another configuration; answered with "reconfigured". */
  | { readonly kind: "reconfigure"; readonly id: number; readonly config: Config }
  /** What `/readyz` says of the configuration from now on. */
  | { readonly kind: "config state"; readonly state: string }
  /** Another worker has died: what its journal holds can be taken over at once. */
  | { readonly kind: "worker died" }
  | { readonly kind: "stop"; readonly reason: string }
  | { readonly kind: "collect"; readonly id: number }
  | { readonly kind: "page"; readonly id: number; readonly text: string }
  /** The page could not be put together; the reason stands in the supervisor's log. */
  | { readonly kind: "no page"; readonly id: number }

export type ToSupervisor =
  /** Comes first: what is sent before somebody listens is lost in a worker. */
  | { readonly kind: "ready" }
  | ({ readonly kind: "listening" } & Listening)
  /** A reason that an operator can mend; the worker ends after it. */
  | { readonly kind: "not started"; readonly message: string }
  /** `failure` says why the configuration before stays in force; null where it does not. */
  | { readonly kind: "reconfigured"; readonly id: number; readonly failure: string | null }
  | { readonly kind: "figures"; readonly id: number; readonly figures: Figures }
  /** The last figures of a worker that ends. */
  | { readonly kind: "last figures"; readonly figures: Figures }
  | { readonly kind: "page wanted"; readonly id: number }
