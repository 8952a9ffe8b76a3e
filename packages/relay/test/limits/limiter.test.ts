import { describe, expect, test } from "vitest";
import { Limiter } from "../../src/admission/limits.ts";
import type { Admission, LimitAsk, LimiterSettings } from "../../src/admission/limits.ts";
import type { LimitsConfig } from "../../src/config/config.ts";
import { tierForAll, tiers } from "./tiers.ts";

/** A limiter whose time stands still until it is told otherwise. */
function limiterOf(limits: LimitsConfig | null, settings: LimiterSettings = {}) {
  const clock = { nowMs: 1_000 };
  const limiter = new Limiter(() => clock.nowMs, settings);
  const ask = (more: Partial<LimitAsk> = {}): Admission =>
    limiter.admit({ tiers: limits, accountId: "a", tier: null, keyId: "k", model: "m", estimatedTokens: 10, nowMs: clock.nowMs, ...more });
  return { clock, limiter, ask };
}

function nameOf(admission: Admission): string {
  if (admission.ok) return "let in";
  return admission.refused.kind === "limit" ? admission.refused.name : admission.refused.kind;
}

function lease(admission: Admission) {
  if (!admission.ok) throw new Error(nameOf(admission));
  return admission.lease;
}

describe("a limit", () => {
  test("of an account is shared by its keys and by nobody else", () => {
    const { ask } = limiterOf(tierForAll({ limits: { rpm: 2 } }));
    expect(["k1", "k2", "k3"].map((keyId) => nameOf(ask({ keyId })))).toEqual(["let in", "let in", "account rpm"]);
    expect(nameOf(ask({ accountId: "b" }))).toBe("let in");
  });

  test("of a key is its own, beside that of the account", () => {
    const { ask } = limiterOf(tierForAll({ limits: { rpm: 3 } }));
    const small = { keyId: "small", keyLimits: { inFlight: 1 } };
    expect([ask(small), ask(small), ask(), ask(), ask()].map(nameOf)).toEqual([
      "let in",
      "key in_flight",
      "let in",
      "let in",
      "account rpm",
    ]);
  });

  test("of a key holds where no tier limits anything", () => {
    const { ask } = limiterOf(null);
    const keyLimits = { tpm: 15 };
    expect([ask({ keyLimits }), ask({ keyLimits }), ask()].map(nameOf)).toEqual(["let in", "key tpm", "let in"]);
  });

  test("of a model is for each account, and `upstream/model` does not get around it", () => {
    const { ask } = limiterOf(tierForAll({ perModel: new Map([["m", { rpm: 1 }]]) }));
    expect(nameOf(ask())).toBe("let in");
    expect(nameOf(ask())).toBe("account model rpm");
    expect(nameOf(ask({ model: "up/m" }))).toBe("account model rpm");
    expect(nameOf(ask({ model: "other" }))).toBe("let in");
    expect(nameOf(ask({ accountId: "b" }))).toBe("let in");
  });

  test("that refuses takes nothing of the others", () => {
    const tiers = tierForAll({ limits: { rpm: 100, tpm: 1_000, inFlight: 50 }, perModel: new Map([["m", { inFlight: 1 }]]) });
    const { ask, limiter } = limiterOf(tiers);
    const first = lease(ask());
    for (let times = 0; times < 200; times++) expect(nameOf(ask())).toBe("account model in_flight");
    const party = { tiers, accountId: "a", tier: null, keyId: "k" };
    expect(limiter.standing(party, 1_000)).toMatchObject({ requests: { remaining: 99 }, tokens: { remaining: 990 } });
    expect(limiter.report().inFlight).toBe(1);
    first.release();
    expect(nameOf(ask())).toBe("let in");
  });

  test("is not there without a configuration, or for an account without tier and default", () => {
    for (const limits of [null, tiers({ free: { limits: { rpm: 1 } } })]) {
      const { ask, limiter } = limiterOf(limits);
      for (let times = 0; times < 50; times++) lease(ask()).release();
      expect(limiter.report()).toEqual({ subjects: 0, inFlight: 0 });
    }
  });

  test("is never lifted by a tier that is not configured any more: the default stands in, or nobody enters", () => {
    expect(nameOf(limiterOf(tiers({ free: {} })).ask({ tier: "gold" }))).toBe("tier_unknown");
    const { ask } = limiterOf(tiers({ free: { limits: { rpm: 1 } } }, "free"));
    expect([ask({ tier: "gold" }), ask({ tier: "gold" })].map(nameOf)).toEqual(["let in", "account rpm"]);
  });

  test("that comes with a new tier finds what was used before", () => {
    const { ask } = limiterOf(tiers({ free: { limits: { rpm: 2 } }, paid: { limits: { tpm: 1_000 } } }));
    for (let times = 0; times < 5; times++) lease(ask({ tier: "paid" }));
    expect(nameOf(ask({ tier: "free" }))).toBe("account rpm");
  });
});

describe("a lease", () => {
  test("gives its slot back once, however often it is released", () => {
    const { ask, limiter } = limiterOf(tierForAll({ limits: { inFlight: 2 } }));
    const [first] = [lease(ask()), lease(ask())];
    for (let times = 0; times < 3; times++) first?.release();
    expect([ask(), ask()].map(nameOf)).toEqual(["let in", "account in_flight"]);
    expect(limiter.report().inFlight).toBe(2);
  });

  test("goes on for as long as its owner lives, though nobody asks meanwhile", () => {
    const { ask, clock } = limiterOf(tierForAll({ limits: { inFlight: 1 } }), { leaseMs: 30_000 });
    const held = lease(ask({ isAlive: () => true }));
    clock.nowMs += 20 * 60_000;
    expect(nameOf(ask())).toBe("account in_flight");
    held.release();
    expect(nameOf(ask())).toBe("let in");
  });

  test("runs out within one period when its owner is gone, and a late release harms nobody", () => {
    const { ask, clock, limiter } = limiterOf(tierForAll({ limits: { inFlight: 1 } }), { leaseMs: 30_000 });
    let isAlive = true;
    const lost = lease(ask({ isAlive: () => isAlive }));
    clock.nowMs += 5_000;
    expect(nameOf(ask())).toBe("account in_flight");
    isAlive = false;
    clock.nowMs += 30_000;
    lease(ask());
    expect(nameOf(ask())).toBe("account in_flight");
    lost.release();
    expect(nameOf(ask())).toBe("account in_flight");
    expect(limiter.report().inFlight).toBe(1);
  });

  test("that is undone gives back the request and its tokens too", () => {
    const tiers = tierForAll({ limits: { rpm: 1, tpm: 10 } });
    const { ask, limiter } = limiterOf(tiers);
    lease(ask()).undo();
    lease(ask()).undo();
    expect(limiter.standing({ tiers, accountId: "a", tier: null, keyId: "k" }, 1_000)).toEqual({
      requests: { limit: 1, remaining: 1, resetMs: 0 },
      tokens: { limit: 10, remaining: 10, resetMs: 0 },
    });
  });
});

describe("what is kept count of", () => {
  test("is dropped when it is idle, also when nobody ever looks at the report", () => {
    const { ask, clock, limiter } = limiterOf(tierForAll({ limits: { rpm: 10 } }));
    let most = 0;
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 100; i++) lease(ask({ accountId: `${round}-${i}` })).release();
      clock.nowMs += 61_000;
      most = Math.max(most, limiter.subjects);
    }
    expect(most).toBeLessThanOrEqual(200);
    clock.nowMs += 61_000;
    expect(limiter.report().subjects).toBe(0);
  });

  test("is bounded: past the bound new subjects are turned away until others are idle", () => {
    const { ask, clock, limiter } = limiterOf(tierForAll({ limits: { rpm: 10 } }), { subjectsMax: 50 });
    for (let i = 0; i < 50; i++) lease(ask({ accountId: `a${i}` })).release();
    expect(nameOf(ask({ accountId: "one more" }))).toBe("crowded");
    expect(nameOf(ask({ accountId: "a7" }))).toBe("let in");
    clock.nowMs += 61_000;
    expect(nameOf(ask({ accountId: "one more" }))).toBe("let in");
    expect(limiter.report().subjects).toBeLessThanOrEqual(2);
  });
});
