/** What is known of each upstream right now: cooldown, calls in flight, retries left. In memory, per process. */
import { CREDENTIAL_COOLDOWN_MS, extendCooldown, THROTTLED_DEFAULT_MS } from "@millrace/policy/cooldown";
import type { RouteState } from "@millrace/policy/plan";
import { earnRetry, newRetryBudget, takeRetry } from "@millrace/policy/retry-budget";
import type { RetryBudget } from "@millrace/policy/retry-budget";
import type { ModelRoute, Upstream } from "../config/config.ts";

interface UpstreamHealth {
  cooldownUntilMs: number;
  cooldownReason: "throttled" | "credential" | null;
  inFlight: number;
  budget: RetryBudget;
}

/** A place among the calls in flight; given back exactly once however the call ends. */
export interface Slot {
  release(): void;
}

export class Health {
  readonly #byName = new Map<string, UpstreamHealth>();
  readonly #upstreams: ReadonlyMap<string, Upstream>;

  constructor(upstreams: ReadonlyMap<string, Upstream>, now: number) {
    this.#upstreams = upstreams;
    for (const name of upstreams.keys()) {
      this.#byName.set(name, { cooldownUntilMs: 0, cooldownReason: null, inFlight: 0, budget: newRetryBudget(now) });
    }
  }

  #of(upstream: string): UpstreamHealth {
    const health = this.#byName.get(upstream);
    if (health === undefined) throw new Error(`no upstream is named ${upstream}`);
    return health;
  }

  /** What the plan needs to know of a route. */
  stateOf(route: ModelRoute): RouteState {
    const health = this.#of(route.upstream);
    const hasRoom = health.inFlight < (this.#upstreams.get(route.upstream)?.inFlightMax ?? 0);
    return {
      upstream: route.upstream,
      model: route.model,
      cooldownUntilMs: health.cooldownUntilMs,
      cooldownReason: health.cooldownReason,
      hasRoom,
    };
  }

  /** Null when the upstream has as many calls in flight as it may. */
  takeSlot(upstream: string): Slot | null {
    const health = this.#of(upstream);
    if (health.inFlight >= (this.#upstreams.get(upstream)?.inFlightMax ?? 0)) return null;
    health.inFlight += 1;
    let isHeld = true;
    return {
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        health.inFlight -= 1;
      },
    };
  }

  /** The upstream asked for patience. @param forMs its own wish, or null. */
  throttled(upstream: string, now: number, forMs: number | null): void {
    const health = this.#of(upstream);
    if (health.cooldownUntilMs <= now) health.cooldownReason = "throttled";
    health.cooldownUntilMs = extendCooldown(health.cooldownUntilMs, now, forMs ?? THROTTLED_DEFAULT_MS);
  }

  /** The upstream refused our secret or our account there. */
  refusedCredential(upstream: string, now: number): void {
    const health = this.#of(upstream);
    health.cooldownReason = "credential";
    health.cooldownUntilMs = extendCooldown(health.cooldownUntilMs, now, CREDENTIAL_COOLDOWN_MS);
  }

  /** Books a first attempt in the retry budget. */
  began(upstream: string, now: number): void {
    const health = this.#of(upstream);
    health.budget = earnRetry(health.budget, now);
  }

  /** True when one more try at the same upstream may be made; it is booked. */
  mayRetry(upstream: string, now: number): boolean {
    const health = this.#of(upstream);
    const rest = takeRetry(health.budget, now);
    if (rest !== null) health.budget = rest;
    return rest !== null;
  }

  /** For metrics: calls in flight and seconds of cooldown left per upstream. */
  report(now: number): { upstream: string; inFlight: number; inFlightMax: number; cooldownMs: number }[] {
    return [...this.#byName].map(([upstream, health]) => ({
      upstream,
      inFlight: health.inFlight,
      inFlightMax: this.#upstreams.get(upstream)?.inFlightMax ?? 0,
      cooldownMs: Math.max(0, health.cooldownUntilMs - now),
    }));
  }
}
