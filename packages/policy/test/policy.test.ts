import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COOLDOWN_MS_MAX, extendCooldown, retryAfterMs } from "../src/cooldown.ts";
import { estimateTokens, estimateTokensOfSize } from "../src/estimate.ts";
import { ATTEMPTS_MAX, planAttempts } from "../src/plan.ts";
import type { RouteState } from "../src/plan.ts";
import { backoffMs, earnRetry, newRetryBudget, takeRetry } from "../src/retry-budget.ts";
import type { RetryBudget } from "../src/retry-budget.ts";

describe("cooldown", () => {
  test("a later hint never shortens the first, and none lasts longer than an hour", () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.nat(1e9), fc.integer({ min: -1e6, max: 1e12 }), (until, now, forMs) => {
        const next = extendCooldown(until, now, forMs);
        expect(next).toBeGreaterThanOrEqual(until);
        expect(next).toBeLessThanOrEqual(Math.max(until, now + COOLDOWN_MS_MAX));
      }),
    );
  });

  test("reads seconds, fractions, milliseconds and dates, and nothing else", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(retryAfterMs({ "retry-after": "2" }, now)).toBe(2_000);
    expect(retryAfterMs({ "retry-after": " 0.5 " }, now)).toBe(500);
    expect(retryAfterMs({ "retry-after-ms": "150", "retry-after": "9" }, now)).toBe(150);
    expect(retryAfterMs({ "retry-after": "Thu, 01 Jan 2026 00:00:05 GMT" }, now)).toBe(5_000);
    expect(retryAfterMs({ "retry-after": "Wed, 31 Dec 2025 00:00:05 GMT" }, now)).toBe(0);
    for (const odd of ["", "soon", "-5", "1e9", "Infinity", "99999999999999999999"])
      expect(retryAfterMs({ "retry-after": odd }, now)).toBeNull();
    expect(retryAfterMs({}, now)).toBeNull();
  });
});

describe("retry budget", () => {
  test("a thousand failing requests are retried at most a tenth plus ten times", () => {
    let budget: RetryBudget = newRetryBudget(0);
    let retries = 0;
    for (let i = 0; i < 1_000; i++) {
      budget = earnRetry(budget, 0);
      const rest = takeRetry(budget, 0);
      if (rest === null) continue;
      budget = rest;
      retries += 1;
    }
    expect(retries).toBeLessThanOrEqual(110);
    expect(retries).toBeGreaterThan(90);
  });

  test("time earns one a second, and no more than ten are saved", () => {
    let budget: RetryBudget | null = newRetryBudget(0);
    for (let i = 0; i < 10; i++) budget = budget === null ? null : takeRetry(budget, 0);
    expect(budget).not.toBeNull();
    expect(takeRetry(budget ?? newRetryBudget(0), 900)).toBeNull();
    expect(takeRetry(budget ?? newRetryBudget(0), 1_000)).not.toBeNull();
    expect(takeRetry(budget ?? newRetryBudget(0), 1e9)?.tokens).toBe(9);
  });

  test("waits grow, are bounded and keep their jitter within half", () => {
    for (let retry = 1; retry < 30; retry++) {
      expect(backoffMs(retry, 0)).toBe(backoffMs(retry, 0.999_999) > 2_000 ? 0 : Math.min(100 * 2 ** (retry - 1), 2_000) / 2);
      expect(backoffMs(retry, 0.999)).toBeLessThanOrEqual(2_000);
    }
  });
});

describe("plan", () => {
  const route = (upstream: string, more: Partial<RouteState> = {}): RouteState => ({
    upstream,
    model: "m",
    cooldownUntilMs: 0,
    cooldownReason: null,
    refusal: null,
    ...more,
  });

  test("keeps the order, leaves out what cools or is full, and says why", () => {
    const plan = planAttempts(
      [
        route("a", { cooldownUntilMs: 1_500, cooldownReason: "throttled" }),
        route("b", { refusal: { reason: "full" } }),
        route("c"),
        route("d"),
      ],
      { revision: 7, arm: null },
      1_000,
    );
    expect(plan.attempts.map(({ upstream, reason }) => [upstream, reason])).toEqual([
      ["c", "order"],
      ["d", "order"],
    ]);
    expect([plan.revision, plan.arm]).toEqual([7, null]);
    expect(plan.skipped).toEqual([
      { upstream: "a", reason: "throttled", forMs: 500 },
      { upstream: "b", reason: "full", forMs: 0 },
    ]);
  });

  test("never plans more than three attempts, nor loses a route", () => {
    const state = fc.record({
      cooldownUntilMs: fc.nat(2_000),
      cooldownReason: fc.constantFrom("throttled" as const, "credential" as const),
      refusal: fc.constantFrom(null, { reason: "full" as const }),
    });
    fc.assert(
      fc.property(fc.array(state, { maxLength: 8 }), (states) => {
        const plan = planAttempts(
          states.map((each, i) => route(String(i), each)),
          { revision: 7, arm: null },
          1_000,
        );
        expect(plan.attempts.length).toBeLessThanOrEqual(ATTEMPTS_MAX);
        expect(plan.attempts.length + plan.skipped.length).toBe(states.length);
      }),
    );
  });
});

describe("estimate", () => {
  test("counts characters and CJK characters apart, by text and by size", () => {
    expect(estimateTokens("abcd")).toBeCloseTo(1.04);
    expect(estimateTokens("你好")).toBeCloseTo(1.2);
    const mixed = "Hello 世界, this is a test 你好吗";
    expect(estimateTokensOfSize(Buffer.byteLength(mixed), mixed.length)).toBeCloseTo(estimateTokens(mixed), 5);
  });
});
