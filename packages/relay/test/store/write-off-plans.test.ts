/** Charges that could not be taken whole are few among the holds, and are found without looking at the others. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Operation } from "../../src/ledger/operation.ts";
import { CONTROL_QUERIES } from "../../src/store/queries/control.ts";
import { unitsOf } from "../../src/ledger/unit.ts";
import { commitUnits } from "../../src/store/ledger/commit.ts";
import { sumWriteOffs, writeOffsOfSums } from "../../src/store/tables/write-offs.ts";
import type { Dialect } from "../../src/store/sql/dialect.ts";
import { credit, hold, NOON, settle } from "../ledger/operations.ts";
import { PLACES, planOf } from "./plans.ts";
import type { Place } from "./plans.ts";

const HOLDS = 20_000;
const BATCH = 500;
const SEAT = { node: "node_1", epoch: 1, leaseMs: 10 ** 12 };

describe.each(Object.entries(PLACES))("%s", (name, open) => {
  const dialect = name as Dialect;
  let place: Place;

  beforeAll(async () => {
    place = await open();
    const ask = (at: number, operations: readonly Operation[]): Promise<unknown> =>
      place.run(() => commitUnits({ now: () => NOON + at }, SEAT, unitsOf(operations)));
    await ask(0, [
      { kind: "recover", node: SEAT.node },
      { kind: "open_wallet", accountId: "acme", floorNanos: 0n },
      { kind: "open_wallet", accountId: "poor", floorNanos: 0n },
      credit("c1", 10n ** 9n),
    ]);
    for (let at = 1; at <= HOLDS; at += BATCH) {
      const ids = Array.from({ length: BATCH }, (_, n) => at + n);
      await ask(at, [
        ...ids.map((id) => hold(`req_${id}`, 1n)),
        ...ids.map((id) => settle(`req_${id}`, 1n)),
        // One of each batch costs more than there is, and one is found to have cost more later.
        hold(`req_poor_${at}`, 0n, { accountId: "poor" }),
        settle(`req_poor_${at}`, 5n),
        hold(`req_late_${at}`, 0n, { accountId: "poor" }),
        settle(`req_late_${at}`, 0n),
        { kind: "correct", id: `req_late_${at}`, costNanos: 3n },
      ]);
    }
    await place.settle("holds", "corrections");
  }, 60_000);
  afterAll(() => place.close());

  test("by their own indexes", async () => {
    const sums = { period: "day", accountId: undefined } as const;
    for (const [what, question] of [
      ["all", CONTROL_QUERIES.writeOffs({ after: null, limit: 101 })],
      ["from a place", CONTROL_QUERIES.writeOffs({ after: { atMs: NOON + 9, id: "x" }, limit: 101, fromMs: NOON, toMs: NOON + 99 })],
      ["of an account", CONTROL_QUERIES.writeOffs({ after: null, limit: 101, accountId: "poor" })],
      ["a statement's", sumWriteOffs("poor", NOON, NOON + 10)],
      ["those of sums", writeOffsOfSums(sums, "model", NOON, NOON + 10)],
    ] as const) {
      const plan = await planOf(place, question);
      expect([what, plan, /holds_written_off/.test(plan), /Seq Scan on holds|SCAN h$/m.test(plan)]).toEqual([what, plan, true, false]);
      // PostgreSQL knows that all corrections here are such.
      if (dialect === "sqlite") expect([what, plan, /corrections_written_off/.test(plan)]).toEqual([what, plan, true]);
    }
  });

  test("and the requests of the few by their ids, not the few by all requests of the time", async () => {
    for (const accountId of [undefined, "poor"]) {
      const plan = await planOf(place, writeOffsOfSums({ period: "day", accountId }, "model", NOON, NOON + 10));
      if (dialect === "sqlite") expect(plan).toMatch(/SEARCH r USING INDEX sqlite_autoindex_requests_1 \(id=\?\)/);
    }
  });

  test("and each once, newest first", async () => {
    const found = await place.run(() => CONTROL_QUERIES.writeOffs({ after: null, limit: 1_000 }));
    expect(found.length).toBe((2 * HOLDS) / BATCH);
    expect(found.map(({ atMs }) => atMs)).toEqual(found.map(({ atMs }) => atMs).toSorted((a, b) => b - a));
    const total = await place.run(() => sumWriteOffs("poor", 0, NOON * 2));
    expect(total).toBe(BigInt((HOLDS / BATCH) * 8));
  });
});
