/** What is known of upstreams over changes of the configuration. */
import { expect, test } from "vitest";
import type { Upstream } from "../../src/config/config.ts";
import { Health } from "../../src/upstream/health.ts";
import type { Permit } from "../../src/upstream/health.ts";

const HOUR_MS = 3_600_000;
const CALLER = { accountId: "a", keyId: "k" };
const KNOWN = { accounts: 1, keysOf: () => 1 };

function upstreams(...given: Partial<Upstream>[]): ReadonlyMap<string, Upstream> {
  const whole = given.map(
    (each) => ({ name: "one", baseUrl: "http://one", apiKey: "sk-1", inFlightMax: 2, reservedShare: 0, ...each }) as Upstream,
  );
  return new Map(whole.map((each) => [each.name, each]));
}

function permit(health: Health, upstream: string, now: number): Permit {
  const given = health.admit(upstream, CALLER, now, false);
  if (!("release" in given)) throw new Error(`no permit: ${JSON.stringify(given)}`);
  return given;
}

const cooldownOf = (health: Health, now: number): number => health.stateOf({ upstream: "one", model: "m" }, CALLER).cooldownUntilMs - now;

test("a cooldown outlives a change of the configuration, and ends with a new key or address", () => {
  for (const change of [{ apiKey: "sk-2" }, { baseUrl: "http://two" }]) {
    const health = new Health(upstreams({}), 0, KNOWN);
    permit(health, "one", 0).observe("throttled", 0, 30_000);
    health.reconcile(upstreams({ inFlightMax: 9 }), 1_000);
    expect(cooldownOf(health, 1_000)).toBe(29_000);
    health.reconcile(upstreams(change), 2_000);
    expect(cooldownOf(health, 2_000)).toBeLessThanOrEqual(0);
  }
});

test("what a call met with the old key says nothing of the new one", () => {
  const health = new Health(upstreams({}), 0, KNOWN);
  const old = permit(health, "one", 0);
  health.reconcile(upstreams({ apiKey: "sk-2" }), 1_000);
  old.observe("credential", 2_000, null);
  expect(cooldownOf(health, 2_000)).toBeLessThanOrEqual(0);
  permit(health, "one", 2_000).observe("credential", 2_000, null);
  expect(cooldownOf(health, 2_000)).toBeGreaterThan(0);
});

test("calls in flight are counted over a change of the configuration, against the bound that holds now", () => {
  const health = new Health(upstreams({}), 0, KNOWN);
  const first = permit(health, "one", 0);
  health.reconcile(upstreams({ inFlightMax: 1 }), 1);
  expect(health.admit("one", CALLER, 1, false)).not.toHaveProperty("release");
  first.release();
  permit(health, "one", 1);
});

test("an upstream that is taken away serves who came before, is shown while it has calls, and is forgotten when it is idle an hour later", () => {
  const health = new Health(upstreams({}), 0, KNOWN);
  health.reconcile(upstreams({ name: "two" }), 0);
  const late = permit(health, "one", 10);
  expect(health.report(10).map(({ upstream }) => upstream)).toEqual(["one", "two"]);
  health.reconcile(upstreams({ name: "two" }), 2 * HOUR_MS);
  permit(health, "one", 2 * HOUR_MS).release();
  late.release();
  expect(health.report(2 * HOUR_MS).map(({ upstream }) => upstream)).toEqual(["two"]);
  health.reconcile(upstreams({ name: "two" }), 2 * HOUR_MS);
  expect(health.admit("one", CALLER, 2 * HOUR_MS, false)).not.toHaveProperty("release");
});
