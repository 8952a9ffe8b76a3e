import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { admit, IN_FLIGHT_WAIT_MS, LimitUse, standingOf } from "../src/limit.ts";
import type { LimitClaim, LimitGrant, LimitRefusal, LimitScope, LimitSet } from "../src/limit.ts";
import { BUCKET_MS, WINDOW_MS, WINDOW_WAIT_MS_MAX } from "../src/limit-window.ts";

const LEASE_MS = 30_000;

function claim(limits: LimitSet, scope: LimitScope = "account"): LimitClaim {
  return { scope, limits, use: new LimitUse() };
}

let ids = 0;
function tryAt(claims: readonly LimitClaim[], nowMs: number, tokens = 0, tokensMin = tokens): LimitGrant | LimitRefusal {
  const decision = admit(claims, { tokens, tokensMin, id: `lease ${ids++}`, expiresAtMs: nowMs + LEASE_MS }, nowMs);
  return decision.ok ? decision.grant : decision.refusal;
}

function isGrant(result: LimitGrant | LimitRefusal): result is LimitGrant {
  return "release" in result;
}

function granted(result: LimitGrant | LimitRefusal): LimitGrant {
  if (!isGrant(result)) throw new Error(`refused by ${result.scope} ${result.dimension}`);
  return result;
}

/** Everything that can be seen of a subject. */
function countsOf({ use }: LimitClaim, nowMs: number): readonly number[] {
  return [
    use.requests.used(nowMs),
    use.tokens.used(nowMs),
    use.slots.inUse(nowMs),
    use.requests.untilEmpty(nowMs),
    use.tokens.untilEmpty(nowMs),
  ];
}

/** The most that lies within one minute, both ends included. */
function mostInAMinute(taken: readonly { readonly at: number; readonly amount: number }[]): number {
  const from = (start: number): number =>
    taken.filter(({ at }) => at >= start && at <= start + WINDOW_MS).reduce((sum, { amount }) => sum + amount, 0);
  return Math.max(0, ...taken.map(({ at }) => from(at)));
}

/** Bursts, floods, trickles and pauses longer than a window. */
const gaps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 0, max: 20 }) },
    { weight: 4, arbitrary: fc.double({ min: 0, max: 3_000, noNaN: true }) },
    { weight: 1, arbitrary: fc.integer({ min: 10_000, max: 130_000 }) },
    { weight: 2, arbitrary: fc.integer({ min: WINDOW_MS - 800, max: WINDOW_MS + 800 }) },
  ),
  { maxLength: 300 },
);

describe("requests in a minute", () => {
  test("are never more than the limit, whatever the arrivals", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(1e9), gaps, (rpm, startMs, pauses) => {
        const claims = [claim({ rpm })];
        const taken: { at: number; amount: number }[] = [];
        let nowMs = startMs;
        for (const pause of pauses) {
          nowMs += pause;
          if (isGrant(tryAt(claims, nowMs))) taken.push({ at: nowMs, amount: 1 });
        }
        expect(mostInAMinute(taken)).toBeLessThanOrEqual(rpm);
      }),
      { numRuns: 500 },
    );
  });

  test.each([1, 7, 50, 900, 1_000, 1_003])("are 57 to 60 of 60 in the long run when a client asks every %i ms", (everyMs) => {
    const claims = [claim({ rpm: 60 })];
    let taken = 0;
    const minutes = 10;
    for (let nowMs = 0; nowMs < minutes * WINDOW_MS; nowMs += everyMs) if (isGrant(tryAt(claims, nowMs))) taken += 1;
    expect(taken / minutes).toBeGreaterThanOrEqual(57);
    expect(taken / minutes).toBeLessThanOrEqual(60);
  });

  test("pass at the time that the refusal told, and not before", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), gaps, (rpm, pauses) => {
        const claims = [claim({ rpm })];
        let nowMs = 0;
        for (const pause of pauses) {
          nowMs += pause;
          const result = tryAt(claims, nowMs);
          if (isGrant(result)) continue;
          expect(result).toMatchObject({ scope: "account", dimension: "rpm", limit: rpm });
          expect(result.waitMs).toBeLessThanOrEqual(WINDOW_WAIT_MS_MAX);
          expect(isGrant(tryAt(claims, nowMs + result.waitMs - 0.01))).toBe(false);
          nowMs += result.waitMs;
          granted(tryAt(claims, nowMs));
        }
      }),
    );
  });
});

describe("tokens in a minute", () => {
  test("are never reserved beyond the limit, whatever the arrivals and sizes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 5_000 }),
        fc.array(fc.tuple(fc.nat(8_000), fc.integer({ min: 1, max: 2_000 })), { maxLength: 150 }),
        (tpm, calls) => {
          const claims = [claim({ tpm })];
          const taken: { at: number; amount: number }[] = [];
          let nowMs = 0;
          for (const [pause, tokens] of calls) {
            nowMs += pause;
            if (isGrant(tryAt(claims, nowMs, tokens))) taken.push({ at: nowMs, amount: tokens });
          }
          expect(mostInAMinute(taken)).toBeLessThanOrEqual(tpm);
        },
      ),
    );
  });

  test("that were estimated too high come back at settlement", () => {
    const claims = [claim({ tpm: 1_000 })];
    const grant = granted(tryAt(claims, 0, 900));
    expect(isGrant(tryAt(claims, 10, 200))).toBe(false);
    grant.settle(100, 20);
    grant.settle(0, 30);
    expect(standingOf(claims, 40).tokens).toMatchObject({ limit: 1_000, remaining: 900 });
    granted(tryAt(claims, 50, 900));
  });

  test("that were estimated too low count from the settlement on, also when the reservation has long left", () => {
    const claims = [claim({ tpm: 1_000 })];
    const grant = granted(tryAt(claims, 0, 100));
    grant.settle(5_000, 600_000);
    const refusal = tryAt(claims, 600_100, 1);
    expect(refusal).toMatchObject({ dimension: "tpm" });
    expect(isGrant(refusal) ? 0 : refusal.waitMs).toBeGreaterThanOrEqual(WINDOW_MS - 100);
    granted(tryAt(claims, 600_000 + WINDOW_WAIT_MS_MAX, 1_000));
  });

  test("more than the limit in one request never pass, but a generous guess of the output does", () => {
    const claims = [claim({ tpm: 1_000 })];
    expect(tryAt(claims, 0, 1_001)).toMatchObject({ dimension: "tpm", waitMs: Infinity });
    const first = granted(tryAt(claims, 0, 64_100, 100));
    expect(standingOf(claims, 0).tokens?.remaining).toBe(650);
    granted(tryAt(claims, 1, 64_100, 100));
    first.settle(150, 2);
    expect(standingOf(claims, 3).tokens?.remaining).toBe(500);
  });

  test("come out even for any reservations and settlements within a minute", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1_000), fc.nat(3_000), fc.nat(500)), { maxLength: 60 }), (calls) => {
        const claims = [claim({ tpm: 1e9 })];
        let nowMs = 0;
        let sum = 0;
        for (const [estimate, truth, pause] of calls) {
          const grant = granted(tryAt(claims, nowMs, estimate));
          nowMs += pause;
          grant.settle(truth, nowMs);
          sum += truth;
          expect(claims[0]?.use.tokens.used(nowMs)).toBe(sum);
        }
        expect(claims[0]?.use.tokens.used(nowMs + WINDOW_WAIT_MS_MAX)).toBe(0);
      }),
    );
  });
});

type Act = { readonly kind: "ask" | "release" | "settle" | "undo" | "wait"; readonly amount: number };

const acts = fc.array(
  fc.record({ kind: fc.constantFrom<Act["kind"]>("ask", "ask", "ask", "release", "settle", "undo", "wait"), amount: fc.nat(4_000) }),
  { maxLength: 200 },
);

describe("one admission", () => {
  const threeSubjects = (): LimitClaim[] => [
    claim({ rpm: 12, tpm: 9_000, inFlight: 5 }, "account"),
    claim({ rpm: 9, inFlight: 4 }, "key"),
    claim({ tpm: 6_000, inFlight: 3 }, "account model"),
  ];

  test("takes all of every subject or nothing of any, and a refusal changes nothing at all", () => {
    fc.assert(
      fc.property(acts, (steps) => {
        const claims = threeSubjects();
        const live: LimitGrant[] = [];
        let nowMs = 0;
        for (const { kind, amount } of steps) {
          if (kind === "wait") nowMs += amount * 10;
          const grant = live[amount % Math.max(1, live.length)];
          if (kind === "release") grant?.release();
          if (kind === "settle") grant?.settle(amount, nowMs);
          if (kind === "undo") grant?.undo(nowMs);
          if (kind !== "ask") continue;
          const before = claims.map((each) => countsOf(each, nowMs));
          const result = tryAt(claims, nowMs, amount);
          const after = claims.map((each) => countsOf(each, nowMs));
          if (!isGrant(result)) expect(after).toEqual(before);
          else {
            live.push(result);
            expect(after.map(([requests, tokens, slots]) => [requests, tokens, slots])).toEqual(
              before.map(([requests = 0, tokens = 0, slots = 0]) => [requests + 1, tokens + amount, slots + 1]),
            );
          }
          for (const { use, limits } of claims) {
            expect(use.slots.inUse(nowMs)).toBeLessThanOrEqual(limits.inFlight ?? Infinity);
            expect(use.requests.used(nowMs)).toBeLessThanOrEqual(limits.rpm ?? Infinity);
          }
        }
        for (const grant of live) grant.release();
        expect(claims.map(({ use }) => use.slots.inUse(nowMs))).toEqual([0, 0, 0]);
        expect(claims.every(({ use }) => use.isIdle(nowMs + WINDOW_WAIT_MS_MAX))).toBe(true);
      }),
    );
  });

  test("is refused by the limit that takes longest, by its name", () => {
    const account = claim({ rpm: 2, inFlight: 2 });
    const key = claim({ rpm: 1 }, "key");
    granted(tryAt([account, key], 0));
    expect(tryAt([account, key], 10_000)).toMatchObject({ scope: "key", dimension: "rpm", limit: 1 });
    granted(tryAt([account], 20_000));
    const refusal = tryAt([account, key], 20_000);
    expect(refusal).toMatchObject({ scope: "account", dimension: "rpm", limit: 2, waitMs: WINDOW_MS + BUCKET_MS - 20_000 });
  });

  test("that is undone leaves no trace", () => {
    const claims = threeSubjects();
    granted(tryAt(claims, 0, 100));
    const before = claims.map((each) => countsOf(each, 5_000));
    const grant = granted(tryAt(claims, 5_000, 700));
    grant.undo(5_000);
    grant.undo(5_000);
    grant.release();
    expect(claims.map((each) => countsOf(each, 5_000))).toEqual(before);
  });

  test("is never let in by a limit of 0", () => {
    expect(tryAt([claim({ inFlight: 0 })], 0)).toMatchObject({ dimension: "in_flight", waitMs: Infinity });
    expect(tryAt([claim({ rpm: 0 })], 0)).toMatchObject({ dimension: "rpm", waitMs: Infinity });
  });
});

describe("slots", () => {
  test("come back exactly once, whatever is called how often", () => {
    const claims = [claim({ inFlight: 2 })];
    const first = granted(tryAt(claims, 0));
    granted(tryAt(claims, 0));
    expect(tryAt(claims, 0)).toMatchObject({ dimension: "in_flight", limit: 2, waitMs: IN_FLIGHT_WAIT_MS });
    for (let times = 0; times < 3; times++) first.release();
    granted(tryAt(claims, 0));
    expect(isGrant(tryAt(claims, 0))).toBe(false);
  });

  test("of an owner that died come back within one lease, those of one that lives do not", () => {
    const claims = [claim({ inFlight: 2 })];
    const living = granted(tryAt(claims, 0));
    const dead = granted(tryAt(claims, 0));
    for (let nowMs = 0; nowMs < 10 * LEASE_MS; nowMs += LEASE_MS / 3) {
      living.renew(nowMs + LEASE_MS);
      expect(claims[0]?.use.slots.inUse(nowMs)).toBe(nowMs < LEASE_MS ? 2 : 1);
    }
    dead.renew(20 * LEASE_MS);
    expect(claims[0]?.use.slots.inUse(10 * LEASE_MS - 1)).toBe(1);
    dead.release();
    living.release();
    expect(claims[0]?.use.slots.inUse(10 * LEASE_MS)).toBe(0);
  });
});

describe("what is left", () => {
  test("is told of the tightest of several limits, and when all of it is there again", () => {
    const claims = [claim({ rpm: 10 }), claim({ rpm: 4 }, "key"), claim({ tpm: 100 }, "account model")];
    expect(standingOf(claims, 0)).toEqual({
      requests: { limit: 4, remaining: 4, resetMs: 0 },
      tokens: { limit: 100, remaining: 100, resetMs: 0 },
    });
    granted(tryAt(claims, 0, 30));
    expect(standingOf(claims, 1_000)).toEqual({
      requests: { limit: 4, remaining: 3, resetMs: WINDOW_MS + BUCKET_MS - 1_000 },
      tokens: { limit: 100, remaining: 70, resetMs: WINDOW_MS + BUCKET_MS - 1_000 },
    });
    expect(standingOf([claim({ inFlight: 3 })], 0)).toEqual({ requests: null, tokens: null });
  });
});
