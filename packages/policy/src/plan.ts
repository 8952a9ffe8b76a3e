/** Which upstreams a request tries, in order, and why the others are left out. Pure; logged and tested as data. */

export const ATTEMPTS_MAX = 3;

export interface RouteState {
  readonly upstream: string;
  /** The name the upstream knows the model by. */
  readonly model: string;
  readonly cooldownUntilMs: number;
  /** What the cooldown is for. */
  readonly cooldownReason: "throttled" | "credential" | null;
  readonly hasRoom: boolean;
}

export interface PlannedAttempt {
  readonly upstream: string;
  /** The name the upstream knows the model by. */
  readonly model: string;
  /** Why the route stands where it does. `order`: the configuration's own order. */
  readonly reason: "order";
}

export interface SkippedRoute {
  readonly upstream: string;
  readonly reason: "throttled" | "credential" | "full" | "attempts_max";
  /** Milliseconds until the reason ends, 0 when unknown. */
  readonly forMs: number;
}

/** Which configuration a plan follows. */
export interface PlanBasis {
  /** Number of the configuration. */
  readonly revision: number;
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
    const reason = skipReason(route, nowMs, attempts.length);
    if (reason === null) attempts.push({ upstream: route.upstream, model: route.model, reason: "order" });
    else skipped.push({ upstream: route.upstream, reason, forMs: Math.max(0, route.cooldownUntilMs - nowMs) });
  }
  return { ...basis, attempts, skipped };
}

function skipReason(route: RouteState, nowMs: number, taken: number): SkippedRoute["reason"] | null {
  if (route.cooldownUntilMs > nowMs) return route.cooldownReason ?? "throttled";
  if (!route.hasRoom) return "full";
  return taken >= ATTEMPTS_MAX ? "attempts_max" : null;
}
