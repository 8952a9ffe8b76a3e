/**
 * The present state of each upstream: cooldown, calls in flight, retries left. In memory, per process. A call needs a permit. The
 * attempt tells the permit what it observed, and gives the permit back when the call is over.
 */
import { CREDENTIAL_COOLDOWN_MS, extendCooldown, THROTTLED_DEFAULT_MS } from "@millrace/policy/cooldown";
import type { SlotRefusal } from "@millrace/policy/fair-share";
import type { RouteState } from "@millrace/policy/plan";
import { earnRetry, newRetryBudget, takeRetry } from "@millrace/policy/retry-budget";
import type { RetryBudget } from "@millrace/policy/retry-budget";
import type { ModelRoute, Upstream } from "../config/config.ts";
import { InFlight } from "./in-flight.ts";
import type { Caller, KnownCallers } from "./in-flight.ts";

/** What a call teaches of its upstream. `not_theirs`: the caller's fault, a client that left, or a mistake of the relay's own. */
export type CallOutcome = "ok" | "connect_failed" | "failed_before_output" | "cut" | "throttled" | "credential" | "not_theirs";

/** The right to one call of an upstream. */
export interface Permit {
  /** @param retryAfterMs how long the upstream asks to be left alone, or null. */
  observe(outcome: CallOutcome, now: number, retryAfterMs: number | null): void;
  /** Gives the slot back. It may be called more than once. */
  release(): void;
}

/** Why there is no permit. */
export interface NoPermit {
  readonly refused: SlotRefusal;
}

interface UpstreamHealth {
  /** As the newest configuration that had it says. */
  upstream: Upstream;
  /** When a configuration came without it, milliseconds of the monotonic clock; null while it is configured. */
  goneAtMs: number | null;
  cooldownUntilMs: number;
  cooldownReason: "throttled" | "credential" | null;
  readonly inFlight: InFlight;
  budget: RetryBudget;
}

/** How long to remember an upstream that a reload removed: requests from before the reload may still ask it. */
const FORGET_MS = 3_600_000;

export class Health {
  readonly #byName = new Map<string, UpstreamHealth>();
  readonly #known: KnownCallers;

  constructor(upstreams: ReadonlyMap<string, Upstream>, now: number, known: KnownCallers) {
    this.#known = known;
    this.reconcile(upstreams, now);
  }

  /**
   * Follows a change of the configuration. The state of an upstream stays with its name, but a new address or key ends its
   * cooldown. A removed upstream serves the requests from before the reload, and is forgotten an hour later.
   */
  reconcile(upstreams: ReadonlyMap<string, Upstream>, now: number): void {
    for (const [name, health] of this.#byName) {
      if (upstreams.has(name)) continue;
      health.goneAtMs ??= now;
      if (health.inFlight.count === 0 && now - health.goneAtMs >= FORGET_MS) this.#byName.delete(name);
    }
    for (const [name, upstream] of upstreams) {
      const known = this.#byName.get(name);
      if (known === undefined) this.#byName.set(name, newHealth(upstream, this.#known, now));
      else follow(known, upstream);
    }
  }

  /** What the plan needs to know of a route for this caller. */
  stateOf({ upstream, model }: ModelRoute, caller: Caller): RouteState {
    const health = this.#byName.get(upstream);
    return {
      upstream,
      model,
      cooldownUntilMs: health?.cooldownUntilMs ?? 0,
      cooldownReason: health?.cooldownReason ?? null,
      refusal: refusalBy(health, caller),
    };
  }

  /** A permit for one call of this caller, or why there is none. A request's first call earns a part of a retry. */
  admit(upstream: string, caller: Caller, now: number, isRetry: boolean): Permit | NoPermit {
    const health = this.#byName.get(upstream);
    const refused = refusalBy(health, caller);
    if (health === undefined || refused !== null) return { refused: refused ?? { reason: "full" } };
    if (!isRetry) health.budget = earnRetry(health.budget, now);
    return permitOf(health, caller);
  }

  /** Books one more try at the same upstream; false when its retries are spent. */
  takeRetry(upstream: string, now: number): boolean {
    const health = this.#byName.get(upstream);
    const rest = health === undefined ? null : takeRetry(health.budget, now);
    if (health !== undefined && rest !== null) health.budget = rest;
    return rest !== null;
  }

  /** For metrics: calls in flight and milliseconds of cooldown left per upstream that is configured, or has calls in flight. */
  report(now: number): { upstream: string; inFlight: number; inFlightMax: number; cooldownMs: number }[] {
    const shown = [...this.#byName].filter(([, { goneAtMs, inFlight }]) => goneAtMs === null || inFlight.count > 0);
    return shown.map(([upstream, health]) => ({
      upstream,
      inFlight: health.inFlight.count,
      inFlightMax: health.upstream.inFlightMax,
      cooldownMs: Math.max(0, health.cooldownUntilMs - now),
    }));
  }
}

function newHealth(upstream: Upstream, known: KnownCallers, now: number): UpstreamHealth {
  const inFlight = new InFlight(known);
  return { upstream, goneAtMs: null, cooldownUntilMs: 0, cooldownReason: null, inFlight, budget: newRetryBudget(now) };
}

function follow(health: UpstreamHealth, upstream: Upstream): void {
  if (!isSamePlace(health.upstream, upstream)) [health.cooldownUntilMs, health.cooldownReason] = [0, null];
  health.upstream = upstream;
  health.goneAtMs = null;
}

function isSamePlace(a: Upstream, b: Upstream): boolean {
  return a.apiKey === b.apiKey && a.baseUrl === b.baseUrl;
}

function refusalBy(health: UpstreamHealth | undefined, caller: Caller): SlotRefusal | null {
  return health === undefined ? { reason: "full" } : health.inFlight.refusal(caller, health.upstream);
}

function permitOf(health: UpstreamHealth, caller: Caller): Permit {
  const { upstream } = health;
  return {
    // What a call met at another address, or with another key, says nothing of these.
    observe: (outcome, now, retryAfterMs) => {
      if (isSamePlace(health.upstream, upstream)) observe(health, outcome, now, retryAfterMs);
    },
    release: health.inFlight.add(caller),
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
