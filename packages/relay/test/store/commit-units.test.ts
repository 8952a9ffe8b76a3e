/** Units of operations and writes, committed together: each whole or not at all, and none at another one's cost. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Operation } from "../../src/ledger/operation.ts";
import type { UnitOutcome } from "../../src/ledger/unit.ts";
import { commitUnits } from "../../src/store/ledger/commit.ts";
import type { CommitUnit } from "../../src/store/ledger/commit.ts";
import { read } from "../../src/store/sql/sql.ts";
import type { Write } from "../../src/store/tables/writes.ts";
import { hold, NOON, settle, word } from "../ledger/operations.ts";
import { SEAT } from "../ledger/stores.ts";
import { PLACES } from "./plans.ts";
import type { Place } from "./plans.ts";
import { row } from "./row.ts";

const unit = (operations: readonly Operation[], ...writes: readonly Write[]): CommitUnit => ({ operations, writes });
const rowOf = (id: string, more: object = {}): Write => ({ kind: "row", row: row(id, { accountId: "acme", ...more }) });
/** No database takes a row of such a basis. */
const badRow = (id: string): Write => rowOf(id, { basis: "guessed" });
const note = (action: string): Write => ({
  kind: "audit",
  note: { at: 1, actor: "owner", role: "owner", action, target: "t", before: null, after: null, address: null },
});
const setBudget = (id: string): Operation => ({ kind: "set_budget", id, scope: "key", period: "total", capNanos: 10n });

const words = (outcomes: readonly UnitOutcome[]): string[] =>
  outcomes.map((outcome) => (outcome.ok ? outcome.results.map(word).join(" ") : outcome.code));

describe.each(Object.entries(PLACES))("%s", (_name, open) => {
  let place: Place;
  beforeEach(async () => {
    place = await open();
    expect(
      words(
        await commit(unit([{ kind: "recover", node: SEAT.node }]), unit([{ kind: "open_wallet", accountId: "acme", floorNanos: -100n }])),
      ),
    ).toEqual(["ok", "ok"]);
  });
  afterEach(() => place.close());

  const commit = (...units: readonly CommitUnit[]): Promise<UnitOutcome[]> =>
    place.run(() => commitUnits({ now: () => NOON }, SEAT, units));
  const idsIn = async (table: string, column = "id"): Promise<unknown[]> =>
    (await place.run(() => read(`SELECT ${column} AS id FROM ${table} ORDER BY 1`, []))).map((each) => each["id"]);

  test("operations with their rows, and writes alone, are stored in one transaction and answered in their order", async () => {
    const outcomes = await commit(
      unit([hold("r1", 10n)]),
      unit([], rowOf("r0"), note("a")),
      unit([settle("r1", 7n)], rowOf("r1")),
      unit([hold("r2", 1_000n)], note("never")),
      unit([]),
    );
    expect(words(outcomes)).toEqual(["ok", "", "ok", "insufficient_credits", ""]);
    expect(await idsIn("requests")).toEqual(["r0", "r1"]);
    // What a settlement charged stands in its row, and in no other's.
    expect(await idsIn("requests", "charge_nanos")).toEqual(expect.arrayContaining([7n]));
    expect(await idsIn("audit_log", "action")).toEqual(["a"]);
  });

  test("a unit that the database cannot take refuses only itself, be it writes, operations or both", async () => {
    const outcomes = await commit(
      unit([hold("r1", 10n)]),
      unit([], rowOf("w1")),
      unit([], rowOf("w2"), badRow("w3")),
      unit([hold("r2", 10n)], badRow("r2")),
      unit([settle("r1", 5n, { basis: "guessed" as "exact" })], rowOf("r1")),
      unit([hold("r3", 10n)]),
      unit([], rowOf("w4")),
    );
    expect(words(outcomes)).toEqual(["ok", "", "store_failed", "store_failed", "store_failed", "ok", ""]);
    expect(await idsIn("requests")).toEqual(["w1", "w4"]);
    expect(await idsIn("holds")).toEqual(["r1", "r3"]);
  });

  test("a unit of several operations is stored whole or not at all", async () => {
    const outcomes = await commit(
      unit([setBudget("b1"), setBudget("b2")], note("good")),
      unit([setBudget("b3"), setBudget("b4")], badRow("x")),
    );
    expect(words(outcomes)).toEqual(["ok ok", "store_failed"]);
    expect(await idsIn("budgets")).toEqual(["b1", "b2"]);
    expect(words(await commit(unit([setBudget("b5"), hold("r9", 1_000n)], note("refused"))))).toEqual(["ok insufficient_credits"]);
    expect(await idsIn("audit_log", "action")).toEqual(["good"]);
  });

  test("a row that its request tells comes before the one that a recovery in the same batch makes of its hold", async () => {
    await commit(unit([hold("r1", 10n)]));
    await commit(unit([], rowOf("r1", { model: "told" })), unit([{ kind: "recover", node: SEAT.node }]));
    expect(await idsIn("requests", "model")).toEqual(["told"]);
  });
});
