/**
 * Decides whether a request may enter under its limits. It takes everything that is limited in one step, or nothing.
 * All times are milliseconds of one monotonic clock.
 */
import { LimitSlots } from "./limit-slots.ts";
import { LimitWindow } from "./limit-window.ts";

/** Bounds on one subject; an absent bound does not limit. */
export interface LimitSet {
  /** Requests in any minute. */
  readonly rpm?: number | undefined;
  /** Tokens in any minute, input and output together. */
  readonly tpm?: number | undefined;
  /** Requests at the same time. */
  readonly inFlight?: number | undefined;
}

/** Whose limit it is; `account model` is one model within one account. */
export type LimitScope = "account" | "key" | "account model";

export type LimitDimension = "rpm" | "tpm" | "in_flight";

/** What one subject has used. Everything is counted, limited or not, so that a change of limits finds true counts. */
export class LimitUse {
  readonly requests: LimitWindow = new LimitWindow();
  readonly tokens: LimitWindow = new LimitWindow();
  readonly slots: LimitSlots = new LimitSlots();

  /** Nothing is left to remember. */
  isIdle(nowMs: number): boolean {
    return this.slots.inUse(nowMs) === 0 && this.requests.used(nowMs) === 0 && this.tokens.used(nowMs) === 0;
  }
}

/** One subject that a request counts for. */
export interface LimitClaim {
  readonly scope: LimitScope;
  readonly limits: LimitSet;
  readonly use: LimitUse;
}

/** What a request is going to use. */
export interface LimitCost {
  /** An estimate; settled by the true count. */
  readonly tokens: number;
  /** The part that is certain (the prompt). If this part exceeds a limit, the request never passes. */
  readonly tokensMin: number;
  /** Id of its lease, unique among those that live. */
  readonly id: string;
  readonly expiresAtMs: number;
}

/** The limit that refused the request; if there are several, the one that takes longest. */
export interface LimitRefusal {
  readonly scope: LimitScope;
  readonly dimension: LimitDimension;
  readonly limit: number;
  /** Until it would pass; Infinity when it never will. */
  readonly waitMs: number;
}

export type LimitDecision = { readonly ok: true; readonly grant: LimitGrant } | { readonly ok: false; readonly refusal: LimitRefusal };

/** It is unknown when a request in flight ends, so a client may ask again after this time. */
export const IN_FLIGHT_WAIT_MS: number = 1_000;

/** Takes everything that the request needs, or nothing. */
export function admit(claims: readonly LimitClaim[], cost: LimitCost, nowMs: number): LimitDecision {
  let refusal: LimitRefusal | null = null;
  for (const claim of claims) {
    for (const found of refusalsOf(claim, cost, nowMs)) if (refusal === null || found.waitMs > refusal.waitMs) refusal = found;
  }
  if (refusal !== null) return { ok: false, refusal };
  return { ok: true, grant: new LimitGrant(claims, cost, nowMs) };
}

function refusalsOf({ scope, limits, use }: LimitClaim, cost: LimitCost, nowMs: number): LimitRefusal[] {
  const waits: readonly (readonly [LimitDimension, number | undefined, (limit: number) => number])[] = [
    ["rpm", limits.rpm, (limit) => use.requests.untilFits(1, limit, nowMs)],
    ["tpm", limits.tpm, (limit) => use.tokens.untilFits(reserved(cost, limit), limit, nowMs)],
    ["in_flight", limits.inFlight, (limit) => (use.slots.inUse(nowMs) < limit ? 0 : limit === 0 ? Infinity : IN_FLIGHT_WAIT_MS)],
  ];
  return waits.flatMap(([dimension, limit, waitOf]) => {
    const waitMs = limit === undefined ? 0 : waitOf(limit);
    return limit === undefined || waitMs === 0 ? [] : [{ scope, dimension, limit, waitMs }];
  });
}

/** Reserve at most this share of a limit for tokens that may not come; else one generous `max_tokens` would stop all other requests. */
const UNCERTAIN_SHARE_MAX = 0.25;

function reserved({ tokens, tokensMin }: LimitCost, limit: number | undefined): number {
  if (limit === undefined || tokensMin >= limit) return Math.ceil(Math.max(tokens, tokensMin));
  const uncertain = Math.min(Math.max(0, tokens - tokensMin), limit * UNCERTAIN_SHARE_MAX);
  return Math.ceil(Math.min(tokensMin + uncertain, limit));
}

interface Taken {
  readonly use: LimitUse;
  readonly requestBucket: number;
  readonly tokenBucket: number;
  readonly tokens: number;
}

/** What one request has taken. It gives back its slots exactly once, and corrects its tokens exactly once. */
export class LimitGrant {
  readonly #id: string;
  readonly #taken: readonly Taken[];
  #isHeld = true;
  #isSettled = false;

  constructor(claims: readonly LimitClaim[], cost: LimitCost, nowMs: number) {
    this.#id = cost.id;
    this.#taken = claims.map(({ use, limits }) => {
      const tokens = reserved(cost, limits.tpm);
      use.slots.take(cost.id, cost.expiresAtMs);
      return { use, requestBucket: use.requests.add(1, nowMs), tokenBucket: use.tokens.add(tokens, nowMs), tokens };
    });
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** The owner lives. */
  renew(expiresAtMs: number): void {
    if (this.#isHeld) for (const { use } of this.#taken) use.slots.renew(this.#id, expiresAtMs);
  }

  /** Books the true count: gives back the excess of the reservation, or counts from now on what was used above it. */
  settle(tokens: number, nowMs: number): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    for (const taken of this.#taken) {
      if (tokens > taken.tokens) taken.use.tokens.add(tokens - taken.tokens, nowMs);
      else taken.use.tokens.giveBack(taken.tokens - tokens, taken.tokenBucket);
    }
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    for (const { use } of this.#taken) use.slots.give(this.#id);
  }

  /** Undoes the admission: something after the limits refused the request. */
  undo(nowMs: number): void {
    if (!this.#isHeld) return;
    this.release();
    this.settle(0, nowMs);
    for (const { use, requestBucket } of this.#taken) use.requests.giveBack(1, requestBucket);
  }
}

/** How much of a limit is left. */
export interface LimitQuota {
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds until all of it is available again, if nobody uses more. */
  readonly resetMs: number;
}

/** The tightest limit of each kind, or null if there is none. */
export interface LimitStanding {
  readonly requests: LimitQuota | null;
  readonly tokens: LimitQuota | null;
}

/** What the subjects of a request have left. */
export function standingOf(claims: readonly LimitClaim[], nowMs: number): LimitStanding {
  let requests: LimitQuota | null = null;
  let tokens: LimitQuota | null = null;
  for (const { limits, use } of claims) {
    requests = tighter(requests, limits.rpm, use.requests, nowMs);
    tokens = tighter(tokens, limits.tpm, use.tokens, nowMs);
  }
  return { requests, tokens };
}

function tighter(best: LimitQuota | null, limit: number | undefined, window: LimitWindow, nowMs: number): LimitQuota | null {
  if (limit === undefined) return best;
  const remaining = Math.max(0, Math.floor(limit - window.used(nowMs)));
  if (best !== null && best.remaining <= remaining) return best;
  return { limit, remaining, resetMs: window.untilEmpty(nowMs) };
}
