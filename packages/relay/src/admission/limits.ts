/**
 * Limits of tiers, counted in the memory of this one process: two relays side by side let in twice as much. Counts belong to the names
 * of accounts, keys and models. The limits themselves come with each request, from its configuration, so that counts outlive a change
 * of the configuration.
 */
import { admit, LimitUse, standingOf } from "@millrace/policy/limit";
import type { LimitClaim, LimitGrant, LimitRefusal, LimitScope, LimitSet, LimitStanding } from "@millrace/policy/limit";
import type { LimitsConfig, Tier } from "../config/config.ts";
import { tierIn } from "./tiers.ts";

/** Whose limits a request is under. */
export interface LimitedParty {
  /** The tiers of the request's configuration; null if it has none. */
  readonly tiers: LimitsConfig | null;
  readonly accountId: string;
  /** The account's own tier; null is the default one. */
  readonly tier: string | null;
  readonly keyId: string;
  readonly keyLimits?: LimitSet | undefined;
}

/** A request that wants to enter. */
export interface LimitAsk extends LimitedParty {
  /** The public name as the client said it. */
  readonly model: string;
  readonly estimatedTokens: number;
  /** Part of the estimate that is certain: the prompt. Default: all of it. */
  readonly tokensMin?: number;
  /** Monotonic clock, milliseconds. */
  readonly nowMs: number;
  /** False when the owner is gone without having released its lease. Default: it lives until it releases. */
  readonly isAlive?: () => boolean;
}

/** Why a request may not enter. `name` is for people: `account rpm`, `key in_flight`. */
export type EntryRefusal =
  | ({ readonly kind: "limit"; readonly name: string } & Pick<LimitRefusal, "dimension" | "limit" | "waitMs">)
  /** The configuration does not have the account's tier, and has no default tier. */
  | { readonly kind: "tier_unknown" }
  /** The limiter already counts as many subjects as it may keep. */
  | { readonly kind: "crowded" };

/** What a request in flight holds. Every method may be called again without harm. */
export interface Lease {
  /** The true count of tokens, input and output together. */
  settle(tokens: number): void;
  /** Gives the slots back. */
  release(): void;
  /** Gives everything back: the request was refused after all. */
  undo(): void;
}

export type Admission = { readonly ok: true; readonly lease: Lease } | { readonly ok: false; readonly refused: EntryRefusal };

export interface LimiterReport {
  /** Accounts, keys and models of accounts that are kept count of. */
  readonly subjects: number;
  /** Leases of requests in flight. */
  readonly inFlight: number;
}

export interface LimiterSettings {
  /** Time after which a lease runs out if its owner is gone, in milliseconds. */
  readonly leaseMs?: number;
  readonly subjectsMax?: number;
}

const LEASE_MS = 30_000;
const SUBJECTS_MAX = 50_000;
/** Each admission looks at this many other subjects and drops those that have nothing to remember. */
const SWEPT_AT_ONCE = 3;

const NO_LEASE: Lease = { settle: () => undefined, release: () => undefined, undo: () => undefined };

interface Held {
  readonly grant: LimitGrant;
  readonly isAlive: () => boolean;
}

/** A subject by what it is of; the scope keeps an account and a key of the same id apart. */
interface Subject {
  readonly scope: LimitScope;
  readonly id: string;
  readonly limits: LimitSet;
}

export class Limiter {
  readonly #clock: () => number;
  readonly #leaseMs: number;
  readonly #subjectsMax: number;
  readonly #uses = new Map<string, LimitUse>();
  readonly #held = new Set<Held>();
  #leases = 0;
  #renewAtMs = 0;
  #sweep: Iterator<[string, LimitUse]>;

  /** @param clock the same one that `nowMs` of a question comes from. */
  constructor(clock: () => number, settings: LimiterSettings = {}) {
    this.#clock = clock;
    this.#leaseMs = settings.leaseMs ?? LEASE_MS;
    this.#subjectsMax = settings.subjectsMax ?? SUBJECTS_MAX;
    this.#sweep = this.#uses.entries();
  }

  /** Takes a request, a slot and the estimate of every subject in one step, or nothing at all. */
  admit(ask: LimitAsk): Admission {
    const { nowMs } = ask;
    const tier = tierIn(ask.tiers, ask.tier);
    if (tier === null) return { ok: false, refused: { kind: "tier_unknown" } };
    const subjects = [...partySubjects(ask, tier), ...modelSubjects(ask, tier)];
    if (subjects.length === 0) return { ok: true, lease: NO_LEASE };
    this.#keepUp(nowMs);
    if (!this.#hasRoomFor(subjects, nowMs)) return { ok: false, refused: { kind: "crowded" } };
    return this.#decide(
      ask,
      subjects.map((subject) => this.#claim(subject)),
    );
  }

  #decide(ask: LimitAsk, claims: readonly LimitClaim[]): Admission {
    const { nowMs, estimatedTokens: tokens, tokensMin = tokens } = ask;
    const id = String(++this.#leases);
    const decision = admit(claims, { tokens, tokensMin, id, expiresAtMs: nowMs + this.#leaseMs }, nowMs);
    if (decision.ok) return { ok: true, lease: this.#hold(decision.grant, ask.isAlive ?? (() => true)) };
    const { scope, dimension, limit, waitMs } = decision.refusal;
    return { ok: false, refused: { kind: "limit", name: `${scope} ${dimension}`, dimension, limit, waitMs } };
  }

  /** What is left of the limits, and of the model's own limits if a model is named. A value is null if nothing limits it. */
  standing(party: LimitedParty & { readonly model?: string }, nowMs: number): LimitStanding {
    const tier = tierIn(party.tiers, party.tier);
    const { model } = party;
    const ofModel = tier === null || model === undefined ? [] : modelSubjects({ ...party, model }, tier);
    const subjects = [...partySubjects(party, tier), ...ofModel];
    return standingOf(
      subjects.map((subject) => ({ ...subject, use: this.#uses.get(idOf(subject)) ?? new LimitUse() })),
      nowMs,
    );
  }

  /** False when nothing about this request is limited, and nothing needs to be estimated. */
  isLimited(party: LimitedParty & { readonly model: string }): boolean {
    const tier = tierIn(party.tiers, party.tier);
    return tier === null || partySubjects(party, tier).length > 0 || modelSubjects(party, tier).length > 0;
  }

  /** Subjects in memory, idle ones included. */
  get subjects(): number {
    return this.#uses.size;
  }

  /** Counts for metrics; also forgets idle subjects. */
  report(): LimiterReport {
    const nowMs = this.#clock();
    this.#renew(nowMs);
    this.#sweepUpTo(this.#uses.size, nowMs);
    return { subjects: this.#uses.size, inFlight: this.#held.size };
  }

  #claim({ scope, id, limits }: Subject): LimitClaim {
    const key = idOf({ scope, id });
    let use = this.#uses.get(key);
    if (use === undefined) this.#uses.set(key, (use = new LimitUse()));
    return { scope, limits, use };
  }

  #hasRoomFor(subjects: readonly Subject[], nowMs: number): boolean {
    const added = (): number => this.#uses.size + subjects.filter((subject) => !this.#uses.has(idOf(subject))).length;
    if (added() <= this.#subjectsMax) return true;
    this.#sweepUpTo(this.#uses.size, nowMs);
    return added() <= this.#subjectsMax;
  }

  #hold(grant: LimitGrant, isAlive: () => boolean): Lease {
    const held: Held = { grant, isAlive };
    this.#held.add(held);
    return {
      settle: (tokens) => grant.settle(tokens, this.#clock()),
      release: () => {
        grant.release();
        this.#held.delete(held);
      },
      undo: () => {
        grant.undo(this.#clock());
        this.#held.delete(held);
      },
    };
  }

  #keepUp(nowMs: number): void {
    if (nowMs >= this.#renewAtMs) this.#renew(nowMs);
    this.#sweepUpTo(SWEPT_AT_ONCE, nowMs);
  }

  /** Renews the leases of living owners; the others run out. Nothing reads the leases in between, so this needs no timer. */
  #renew(nowMs: number): void {
    this.#renewAtMs = nowMs + this.#leaseMs / 3;
    for (const held of this.#held) {
      if (held.isAlive()) held.grant.renew(nowMs + this.#leaseMs);
      else this.#held.delete(held);
    }
  }

  #sweepUpTo(count: number, nowMs: number): void {
    for (let left = Math.min(count, this.#uses.size); left > 0; left--) {
      let next = this.#sweep.next();
      if (next.done === true) next = (this.#sweep = this.#uses.entries()).next();
      if (next.done === true) return;
      const [key, use] = next.value;
      if (use.isIdle(nowMs)) this.#uses.delete(key);
    }
  }
}

function partySubjects({ accountId, keyId, keyLimits }: LimitedParty, tier: Tier | null): Subject[] {
  return [
    ...(tier !== null && isBounded(tier.limits) ? [{ scope: "account" as const, id: accountId, limits: tier.limits }] : []),
    ...(keyLimits !== undefined && isBounded(keyLimits) ? [{ scope: "key" as const, id: keyId, limits: keyLimits }] : []),
  ];
}

/** `upstream/model` counts as the model that it names. */
function modelSubjects({ accountId, model }: LimitedParty & { readonly model: string }, tier: Tier): Subject[] {
  const name = tier.perModel.has(model) ? model : model.slice(model.indexOf("/") + 1);
  const limits = tier.perModel.get(name);
  return limits === undefined || !isBounded(limits) ? [] : [{ scope: "account model", id: `${accountId} ${name}`, limits }];
}

function isBounded({ rpm, tpm, inFlight }: LimitSet): boolean {
  return rpm !== undefined || tpm !== undefined || inFlight !== undefined;
}

function idOf({ scope, id }: Pick<Subject, "scope" | "id">): string {
  return `${scope} ${id}`;
}
