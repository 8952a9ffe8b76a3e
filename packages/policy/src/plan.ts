/** Decides which upstreams a request tries, in order, and why it leaves the others out. Pure; logged and tested as data. */

import type { SlotRefusal, ShareRefusal } from "./fair-share.ts";

export const ATTEMPTS_MAX = 3;

export interface RouteState {
  readonly upstream: string;
  /** The name the upstream knows the model by. */
  readonly model: string;
  readonly cooldownUntilMs: number;
  /** What the cooldown is for. */
  readonly cooldownReason: "throttled" | "credential" | null;
  /** Why this caller may not add a call at the upstream, or null. */
  readonly refusal: SlotRefusal | null;
}

export interface PlannedAttempt {
  readonly upstream: string;
  /** The name the upstream knows the model by. */
  readonly model: string;
  /** Why the route has its place in the order. `order`: the configuration's own order. */
  readonly reason: "order";
}

/** `share`: the caller already has its share of the upstream's calls, and the rest is reserved for others. */
type SkipReason =
  | { readonly reason: "throttled" | "credential" | "full" | "attempts_max" }
  | { readonly reason: "share"; readonly share: ShareRefusal };

export type SkippedRoute = SkipReason & {
  readonly upstream: string;
  /** Milliseconds until the reason ends, 0 when unknown. */
  readonly forMs: number;
};

/** Which configuration a plan follows. */
export interface PlanBasis {
  /** Number of the configuration. */
  readonly revision: number | null;
  /** Side of a migration that the request is on; null outside of migrations. */
  readonly arm: "control" | "candidate" | null;
}

export interface Plan extends PlanBasis {
  readonly attempts: readonly PlannedAttempt[];
  readonly skipped: readonly SkippedRoute[];
}

/** Keeps the routes' order, leaves out those that are cooling down or full, and stops after three. */
export function planAttempts(routes: readonly RouteState[], basis: PlanBasis, nowMs: number): Plan {
  const attempts: PlannedAttempt[] = [];
  const skipped: SkippedRoute[] = [];
  for (const route of routes) {
    const skip = skipReason(route, nowMs, attempts.length);
    if (skip === null) attempts.push({ upstream: route.upstream, model: route.model, reason: "order" });
    else skipped.push({ upstream: route.upstream, ...skip, forMs: Math.max(0, route.cooldownUntilMs - nowMs) });
  }
  return { ...basis, attempts, skipped };
}

function skipReason(route: RouteState, nowMs: number, taken: number): SkipReason | null {
  if (route.cooldownUntilMs > nowMs) return { reason: route.cooldownReason ?? "throttled" };
  if (route.refusal !== null) return refusedReason(route.refusal);
  return taken >= ATTEMPTS_MAX ? { reason: "attempts_max" } : null;
}

function refusedReason(refusal: SlotRefusal): SkipReason {
  return refusal.reason === "full" ? { reason: "full" } : { reason: "share", share: refusal };
}

/** A planned attempt that the relay skipped, because no slot was free when its turn came. */
export function passedOver({ upstream }: PlannedAttempt, refusal: SlotRefusal): SkippedRoute {
  return { upstream, ...refusedReason(refusal), forMs: 0 };
}
