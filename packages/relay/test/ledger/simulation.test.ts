import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { breachesInSqlite, breachesOf, eventsOf, report } from "./simulation/history.ts";
import { PLANTS } from "./simulation/plants.ts";
import { scriptOf, shortest } from "./simulation/script.ts";
import { SqliteTemplate } from "./simulation/sqlite-books.ts";
import type { Step } from "./simulation/script.ts";

const IS_LONG = process.env["MILLRACE_LONG"] === "1";
const HISTORIES = IS_LONG ? 100_000 : 4_000;
/** Of these, so many in a database too. */
const IN_SQLITE = IS_LONG ? 2_000 : 100;
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
        if (breaches.length > 0) expect.fail(report(seed, (script) => breachesOf(script)));
      }
      if (SEED === undefined) expect(EVENTS.filter((event) => !seen.has(event))).toEqual([]);
    },
  );

  test(
    "in SQLite the same holds where statements fail and processes die between them, and each request has one row that says its charge",
    { timeout: 60_000 + IN_SQLITE * 200 },
    () => {
      const template = newTemplate();
      for (const seed of SEEDS.slice(0, IN_SQLITE))
        if (breachesInSqlite(scriptOf(seed), template).length > 0)
          expect.fail(report(seed, (script) => breachesInSqlite(script, template)));
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

function newTemplate(): SqliteTemplate {
  const directory = mkdtempSync(join(tmpdir(), "millrace-simulation-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return new SqliteTemplate(directory);
}

describe("a planted mistake is found and told in a short script", () => {
  const SOME = Array.from({ length: 1_000 }, (_, seed) => seed);

  test.each(PLANTS)("$mistake", ({ rule, plant }) => {
    const seed = SOME.find((at) => breachesOf(scriptOf(at), plant).some((breach) => breach.startsWith(rule)));
    if (seed === undefined) expect.fail(`not found in ${SOME.length} histories`);
    expect(report(seed, (script) => breachesOf(script, plant))).toContain(`MILLRACE_SEED=${seed}`);
    const isFound = (script: readonly Step[]): boolean => breachesOf(script, plant).some((breach) => breach.startsWith(rule));
    expect(shortest(scriptOf(seed), isFound).length).toBeLessThan(15);
  });

  test.each([
    ["what a transaction did before it failed stays", "a balance is the sum of its transfers", { isTorn: true }],
    ["a charge is stored without the row of its request", "a request that ended has a row", { losesRows: true }],
  ] as const)("%s", (_mistake, rule, plant) => {
    const template = newTemplate();
    const isFound = (script: readonly Step[]): boolean =>
      breachesInSqlite(script, template, plant).some((breach) => breach.startsWith(rule));
    expect(SOME.some((seed) => isFound(scriptOf(seed)))).toBe(true);
  });
});
