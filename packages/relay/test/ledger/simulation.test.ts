import { describe, expect, test } from "vitest";
import { breachesOf, eventsOf, report } from "./simulation/history.ts";
import { PLANTS } from "./simulation/plants.ts";
import { scriptOf, shortest } from "./simulation/script.ts";
import type { Step } from "./simulation/script.ts";

const IS_LONG = process.env["MILLRACE_LONG"] === "1";
const HISTORIES = IS_LONG ? 100_000 : 4_000;
/** Of a history that failed: it alone is done again. */
const SEED = process.env["MILLRACE_SEED"];
const SEEDS = SEED === undefined ? Array.from({ length: HISTORIES }, (_, seed) => seed) : [Number(SEED)];

/** What must have happened for all this to prove anything. */
const EVENTS = [
  "hold: ok",
  "hold: repeat",
  "hold: insufficient_credits",
  "hold: budget_exceeded",
  "hold: stale_epoch",
  "hold: idempotency_in_progress",
  "hold: idempotency_finished",
  "extend: ok",
  "extend: insufficient_credits",
  "checkpoint: not_open",
  "settle: ok",
  "settle: repeat",
  "settle: not_open",
  "void: ok",
  "void: hold_unknown",
  "correct: ok",
  "correct: repeat",
  "recover: ok",
  "recover: lease_alive",
  "renew_lease: stale_epoch",
  "credit: repeat",
  "reserve_refund: repeat",
  "reserve_refund: not_refundable",
  "finish_refund: repeat",
  "hold recovered, free",
  "hold recovered, charged",
  "hold voided, free",
  "transfer: usage_promo",
  "transfer: expire",
  "transfer: correction",
  "transfer: refund_undo",
];

describe("relays on the same books", () => {
  test(
    `in ${SEEDS.length} histories of faults, kills, late settlements and clocks that jump every rule holds, at each commit and in the end`,
    { timeout: 30_000 + HISTORIES * 10 },
    () => {
      const seen = new Set<string>();
      for (const seed of SEEDS) {
        const breaches = breachesOf(scriptOf(seed), {}, (commit) => {
          for (const event of eventsOf(commit)) seen.add(event);
        });
        if (breaches.length > 0) expect.fail(report(seed));
      }
      if (SEED === undefined) expect(EVENTS.filter((event) => !seen.has(event))).toEqual([]);
    },
  );

  test("a seed gives the same history again", () => {
    const told = (): string[] => {
      const events: string[] = [];
      breachesOf(scriptOf(7), {}, (commit) => events.push(...eventsOf(commit)));
      return events;
    };
    expect(told()).toEqual(told());
    expect(told().length).toBeGreaterThan(10);
  });
});

describe("a planted mistake is found and told in a short script", () => {
  const WITHIN = 1_000;

  test.each(PLANTS)("$mistake", ({ rule, plant }) => {
    const seed = Array.from({ length: WITHIN }, (_, at) => at).find((at) =>
      breachesOf(scriptOf(at), plant).some((breach) => breach.startsWith(rule)),
    );
    if (seed === undefined) expect.fail(`not found in ${WITHIN} histories`);
    expect(report(seed, plant)).toContain(`MILLRACE_SEED=${seed}`);
    const isFound = (script: readonly Step[]): boolean => breachesOf(script, plant).some((breach) => breach.startsWith(rule));
    expect(shortest(scriptOf(seed), isFound).length).toBeLessThan(15);
  });
});
