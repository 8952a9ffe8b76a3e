/**
 * What is known of each upstream right now: cooldown, calls in flight, retries left. In memory, per process. A call needs a permit;
 * what the call taught is told to the permit, and the permit is given back when the call is over.
 */
import { CREDENTIAL_COOLDOWN_MS, extendCooldown, THROTTLED_DEFAULT_MS } from "@millrace/policy/cooldown";
import type { RouteState } from "@millrace/policy/plan";
import { earnRetry, newRetryBudget, takeRetry } from "@millrace/policy/retry-budget";
import type { RetryBudget } from "@millrace/policy/retry-budget";
import type { ModelRoute, Upstream } from "../config/config.ts";

/** What a call teaches of its upstream. `not_theirs`: the caller's fault, a client that left, or a mistake of the relay's own. */
export type CallOutcome = "ok" | "connect_failed" | "failed_before_output" | "cut" | "throttled" | "credential" | "not_theirs";

/** The right to one call of an upstream. */
export interface Permit {
  /** @param retryAfterMs how long the upstream asks to be left alone, or null. */
  observe(outcome: CallOutcome, now: number, retryAfterMs: number | null): void;
  /** Gives the place back. It may be called more than once. */
  release(): void;
}

interface UpstreamHealth {
  cooldownUntilMs: number;
  cooldownReason: "throttled" | "credential" | null;
  inFlight: number;
  inFlightMax: number;
  budget: RetryBudget;
}

export class Health {
  readonly #byName = new Map<string, UpstreamHealth>();

  constructor(upstreams: ReadonlyMap<string, Upstream>, now: number) {
    this.reconcile(upstreams, now);
  }

  /**
   * Follows a change of the configuration. What is known of an upstream stays with its name; one that is gone is forgotten here,
   * while permits of its running calls stay good.
   */
  reconcile(upstreams: ReadonlyMap<string, Upstream>, now: number): void {
    for (const name of this.#byName.keys()) if (!upstreams.has(name)) this.#byName.delete(name);
    for (const [name, { inFlightMax }] of upstreams) {
      const known = this.#byName.get(name);
      if (known !== undefined) known.inFlightMax = inFlightMax;
      else this.#byName.set(name, { cooldownUntilMs: 0, cooldownReason: null, inFlight: 0, inFlightMax, budget: newRetryBudget(now) });
    }
  }

  /** What the plan needs to know of a route. An upstream that is not configured any more has no room. */
  stateOf({ upstream, model }: ModelRoute): RouteState {
    const health = this.#byName.get(upstream);
    return {
      upstream,
      model,
      cooldownUntilMs: health?.cooldownUntilMs ?? 0,
      cooldownReason: health?.cooldownReason ?? null,
      hasRoom: health !== undefined && health.inFlight < health.inFlightMax,
    };
  }

  /** A permit for one call; null when the upstream has as many in flight as it may. A request's first call earns a part of a retry. */
  admit(upstream: string, now: number, isRetry: boolean): Permit | null {
    const health = this.#byName.get(upstream);
    if (health === undefined || health.inFlight >= health.inFlightMax) return null;
    if (!isRetry) health.budget = earnRetry(health.budget, now);
    return permitOf(health);
  }

  /** Books one more try at the same upstream; false when its retries are spent. */
  takeRetry(upstream: string, now: number): boolean {
    const health = this.#byName.get(upstream);
    const rest = health === undefined ? null : takeRetry(health.budget, now);
    if (health !== undefined && rest !== null) health.budget = rest;
    return rest !== null;
  }

  /** For metrics: calls in flight and milliseconds of cooldown left per upstream. */
  report(now: number): { upstream: string; inFlight: number; inFlightMax: number; cooldownMs: number }[] {
    return [...this.#byName].map(([upstream, health]) => ({
      upstream,
      inFlight: health.inFlight,
      inFlightMax: health.inFlightMax,
      cooldownMs: Math.max(0, health.cooldownUntilMs - now),
    }));
  }
}

function permitOf(health: UpstreamHealth): Permit {
  health.inFlight += 1;
  let isHeld = true;
  return {
    observe: (outcome, now, retryAfterMs) => observe(health, outcome, now, retryAfterMs),
    release: () => {
      if (!isHeld) return;
      isHeld = false;
      health.inFlight -= 1;
    },
  };
}

function observe(health: UpstreamHealth, outcome: CallOutcome, now: number, retryAfterMs: number | null): void {
  if (outcome === "throttled") {
    if (health.cooldownUntilMs <= now) health.cooldownReason = "throttled";
    health.cooldownUntilMs = extendCooldown(health.cooldownUntilMs, now, retryAfterMs ?? THROTTLED_DEFAULT_MS);
  }
  if (outcome === "credential") {
    health.cooldownReason = "credential";
    health.cooldownUntilMs = extendCooldown(health.cooldownUntilMs, now, CREDENTIAL_COOLDOWN_MS);
  }
}
