/**
 * What calls go by can be replaced while calls run: providers and models, prices, bounds. Each call takes the data plane
 * of the moment once, at its start, and goes on with it to its end, so that a change never meets a call half-way. A
 * plane is never changed, it is followed by another one; the parts with a life of their own are the same in both.
 */
import type { Router } from "../providers/router.ts"
import type { DataPlane } from "./data-plane.ts"
import { Doors } from "./open-door.ts"

/** What is decided by the configuration and by what is stored, and has no life of its own. */
export type Replaceable = Pick<DataPlane, "router" | "priceBook" | "storedPrices" | "objectPolicy" | "bounds">

export class Routing {
  #plane: DataPlane

  constructor(parts: Omit<DataPlane, "doors">) {
    this.#plane = planeOf(parts)
  }

  /** What a call that begins now goes by, to its end. */
  get plane(): DataPlane {
    return this.#plane
  }

  get router(): Router {
    return this.#plane.router
  }

  get doors(): Doors {
    return this.#plane.doors
  }

  /** Routes the calls that begin from now on. */
  use(router: Router): void {
    this.replace({ router })
  }

  /** Replaces parts for the calls that begin from now on. Connections to providers that are gone close as they fall idle. */
  replace(parts: Partial<Replaceable>): void {
    this.#plane = planeOf({ ...this.#plane, ...parts })
    const { router, upstreams } = this.#plane
    upstreams.keep(new Set([...router.providers.values()].map(({ origin }) => origin)))
  }
}

/** Every plane is made here, member by member: objects of one shape are read equally fast, the tenth like the first. */
function planeOf(parts: Omit<DataPlane, "doors">): DataPlane {
  return {
    clock: parts.clock,
    mintId: parts.mintId,
    log: parts.log,
    directory: parts.directory,
    router: parts.router,
    doors: new Doors(parts.router),
    priceBook: parts.priceBook,
    storedPrices: parts.storedPrices,
    admission: parts.admission,
    journal: parts.journal,
    upstreams: parts.upstreams,
    estimator: parts.estimator,
    drains: parts.drains,
    objects: parts.objects,
    objectPolicy: parts.objectPolicy,
    newValues: parts.newValues,
    bookings: parts.bookings,
    usageRefusers: parts.usageRefusers,
    metrics: parts.metrics,
    refusals: parts.refusals,
    erasures: parts.erasures,
    seeding: parts.seeding,
    bounds: parts.bounds,
  }
}
