import { afterEach, describe, expect, test } from "vitest";
import { windowAt } from "../../src/ledger/window.ts";
import { DAY_MS, hold, must, NOON, settle, voided, word } from "./operations.ts";
import { STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

const MIDNIGHT = NOON + DAY_MS / 2;

test("windows are calendar windows in UTC, and weeks begin on Monday", () => {
  const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString().slice(0, 16));
  const bounds = (period: Parameters<typeof windowAt>[0], at: string): (string | null)[] => {
    const { startMs, endMs } = windowAt(period, Date.parse(at));
    return [iso(startMs), iso(endMs)];
  };
  expect(bounds("day", "2026-11-22T23:59:59.999Z")).toEqual(["2026-11-22T00:00", "2026-11-23T00:00"]);
  expect(bounds("day", "2026-11-23T00:00:00.000Z")).toEqual(["2026-11-23T00:00", "2026-11-24T00:00"]);
  expect(bounds("week", "2026-11-22T12:00:00Z")).toEqual(["2026-11-16T00:00", "2026-11-23T00:00"]);
  expect(bounds("week", "2026-11-23T00:00:00Z")).toEqual(["2026-11-23T00:00", "2026-11-30T00:00"]);
  expect(bounds("month", "2024-02-29T12:00:00Z")).toEqual(["2024-02-01T00:00", "2024-03-01T00:00"]);
  expect(bounds("month", "2026-12-31T23:59:59Z")).toEqual(["2026-12-01T00:00", "2027-01-01T00:00"]);
  expect(bounds("total", "2026-12-31T23:59:59Z")).toEqual(["1970-01-01T00:00", null]);
});

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let ledger: TestLedger;
  afterEach(async () => {
    expect(await ledger.audit()).toEqual([]);
    await ledger.close();
  });

  async function withBudget(period: "day" | "total", capNanos: bigint): Promise<void> {
    ledger = await open();
    await withCredit(ledger, 10_000n);
    await ledger.one({ kind: "set_budget", id: "daily", scope: "key_1", period, capNanos });
  }

  test("a budget refuses what does not fit, says when it starts anew, and holds nothing in the wallet", async () => {
    await withBudget("day", 100n);
    expect(word(await ledger.one(hold("r1", 60n, { budgetIds: ["daily"] })))).toBe("ok");
    expect(await ledger.one(hold("r2", 41n, { budgetIds: ["daily"] }))).toEqual({
      ok: false,
      code: "budget_exceeded",
      availableNanos: 40n,
      budget: { id: "daily", resetsAtMs: MIDNIGHT },
    });
    expect(must(await ledger.one(voided("r1"))).balances?.heldNanos).toBe(0n);
    expect(word(await ledger.one(hold("r2", 100n, { budgetIds: ["daily"] })))).toBe("ok");
  });

  test("a total that is spent never starts anew", async () => {
    await withBudget("total", 100n);
    await ledger.commit([hold("r1", 100n, { budgetIds: ["daily"] }), settle("r1", 100n)]);
    ledger.nowMs += 400 * DAY_MS;
    const [, result] = await ledger.commit([{ kind: "recover", node: "node_1" }, hold("r2", 1n, { budgetIds: ["daily"] })]);
    expect(word(result)).toBe("stale_epoch");
    ledger.seat = { ...ledger.seat, epoch: 2 };
    expect(await ledger.one(hold("r2", 1n, { budgetIds: ["daily"] }))).toMatchObject({ budget: { id: "daily", resetsAtMs: null } });
  });

  test("a window that turns in mid-stream changes nothing for the stream: extension and charge stay in the hold's window", async () => {
    await withBudget("day", 100n);
    ledger.seat = { ...ledger.seat, leaseMs: 2 * DAY_MS };
    await ledger.one({ kind: "renew_lease" });
    ledger.nowMs = MIDNIGHT - 1;
    await ledger.one(hold("r1", 60n, { budgetIds: ["daily"] }));
    ledger.nowMs = MIDNIGHT;
    expect(word(await ledger.one(hold("r2", 100n, { budgetIds: ["daily"] })))).toBe("ok");
    expect(word(await ledger.one({ kind: "extend", id: "r1", toNanos: 101n }))).toBe("budget_exceeded");
    expect(word(await ledger.one({ kind: "extend", id: "r1", toNanos: 100n }))).toBe("ok");
    await ledger.one(settle("r1", 90n));
    const rows = (await ledger.query?.("SELECT starts_at, spent, held FROM budget_windows ORDER BY starts_at")) ?? WINDOWS;
    expect(rows).toEqual(WINDOWS);
  });

  test("an account that is not metered may have a budget: nothing is transferred, the cost counts", async () => {
    await withBudget("day", 100n);
    const free = { accountId: "inside", isMetered: false, budgetIds: ["daily"] } as const;
    const results = await ledger.commit([hold("r1", 80n, free), settle("r1", 70n), hold("r2", 31n, free)]);
    expect(results.map(word)).toEqual(["ok", "ok", "budget_exceeded"]);
    expect(must(results[1])).toMatchObject({ balances: null, hold: { chargedNanos: 70n } });
  });

  test("of two budgets that are used up the same one is named, whatever order they are asked in", async () => {
    await withBudget("day", 100n);
    await ledger.one({ kind: "set_budget", id: "all", scope: "acme", period: "total", capNanos: 100n });
    await ledger.one(hold("r1", 100n, { budgetIds: ["daily", "all"] }));
    const results = [
      await ledger.one(hold("r2", 1n, { budgetIds: ["daily", "all"] })),
      await ledger.one(hold("r2", 1n, { budgetIds: ["all", "daily"] })),
      await ledger.one({ kind: "extend", id: "r1", toNanos: 101n }),
    ];
    for (const result of results) expect(result).toMatchObject({ code: "budget_exceeded", budget: { id: "all", resetsAtMs: null } });
  });

  test("a budget that is raised admits at once", async () => {
    await withBudget("day", 100n);
    const results = await ledger.commit([
      hold("r1", 101n, { budgetIds: ["daily"] }),
      { kind: "set_budget", id: "daily", scope: "key_1", period: "day", capNanos: 101n },
      hold("r1", 101n, { budgetIds: ["daily"] }),
      hold("r2", 1n, { budgetIds: ["nobody's"] }),
    ]);
    expect(results.map(word)).toEqual(["budget_exceeded", "ok", "ok", "budget_unknown"]);
  });
});

const WINDOWS = [
  { starts_at: BigInt(MIDNIGHT - DAY_MS), spent: 90n, held: 0n },
  { starts_at: BigInt(MIDNIGHT), spent: 0n, held: 100n },
];
