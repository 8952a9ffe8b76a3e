import { afterEach, describe, expect, test } from "vitest";
import { Ledger } from "../../src/ledger/ledger.ts";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import { CommitQueue } from "../../src/ledger/commit-queue.ts";
import { onlyResult } from "../../src/ledger/unit.ts";
import type { Unit, UnitOutcome } from "../../src/ledger/unit.ts";
import { hold, must, NOON, settle, voided, word } from "./operations.ts";
import { storeOf, STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

const OK: Result = { ok: true, isRepeat: false, balances: null, hold: null, recovery: null };

const allOk = (units: readonly Unit<string>[]): UnitOutcome[] =>
  units.map(({ operations }) => ({ ok: true, results: operations.map(() => OK) }));

/** A unit, as the tests write it down. */
const asWords = ({ operations, writes }: Unit<string>): string =>
  [...operations.map((each) => ("id" in each ? `${each.kind} ${each.id}` : each.kind)), ...writes].join(" + ");

/** A promise and what resolves it. */
function gateOf(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

describe("the queue", () => {
  const ask = async (queue: CommitQueue<string>, operation: Operation): Promise<Result> =>
    onlyResult(await queue.ask({ operations: [operation], writes: [] }));
  const write = (queue: CommitQueue<string>, ...writes: readonly string[]): Promise<UnitOutcome> => queue.ask({ operations: [], writes });

  test("what is asked in one turn is one batch, writes and operations alike, and what is asked meanwhile is the next", async () => {
    const batches: string[][] = [];
    const gate = gateOf();
    const queue = new CommitQueue<string>(async (units) => {
      batches.push(units.map(asWords));
      if (batches.length === 1) await gate.opened;
      return allOk(units);
    });
    const first = [ask(queue, hold("a", 1n)), write(queue, "row"), queue.ask({ operations: [settle("b", 1n)], writes: ["row b", "note"] })];
    await expect.poll(() => batches.length).toBe(1);
    const second = [write(queue, "key"), ask(queue, hold("c", 1n)), ask(queue, hold("d", 1n))];
    gate.open();
    await Promise.all([...first, ...second]);
    expect(batches).toEqual([
      ["hold a", "row", "settle b + row b + note"],
      ["key", "hold c", "hold d"],
    ]);
    await queue.close();
  });

  test("what comes first goes at once, without company", async () => {
    const sizes: number[] = [];
    const queue = new CommitQueue<string>(async (units) => (sizes.push(units.length), allOk(units)));
    await write(queue, "row");
    await ask(queue, hold("a", 1n));
    expect(sizes).toEqual([1, 1]);
  });

  test("a full queue refuses new holds at once, and still takes the ends of those that exist, and writes", async () => {
    const gate = gateOf();
    const queue = new CommitQueue<string>(async (units) => (await gate.opened, allOk(units)), { waitingMax: 2, writesWaitingMax: 1 });
    const waiting = [ask(queue, hold("a", 1n)), ask(queue, hold("b", 1n))];
    expect(queue.hasRoomForWrites).toBe(true);
    expect(word(await ask(queue, hold("c", 1n)))).toBe("store_unavailable");
    waiting.push(ask(queue, settle("a", 1n)));
    const written = write(queue, "row");
    expect([queue.hasRoomForWrites, queue.waitingWrites, queue.waiting]).toEqual([false, 1, 3]);
    expect(await write(queue, "one too many")).toMatchObject({ code: "store_unavailable", reason: "too many writes wait" });
    gate.open();
    expect((await Promise.all(waiting)).map(word)).toEqual(["ok", "ok", "ok"]);
    expect(await written).toEqual({ ok: true, results: [] });
    expect([queue.hasRoomForWrites, queue.waitingWrites, queue.waiting]).toEqual([true, 0, 0]);
  });

  test("a hold whose outcome was lost is voided as soon as the store is back", async () => {
    const asked: string[] = [];
    let isDown = true;
    const queue = new CommitQueue<string>(async (units) => {
      if (isDown) throw new Error("the wire is cut");
      asked.push(...units.map(asWords));
      return allOk(units);
    });
    expect(await ask(queue, hold("lost", 1n))).toMatchObject({ code: "store_unavailable", isUnknown: true });
    expect(await write(queue, "row")).toMatchObject({ code: "store_unavailable", isUnknown: true, reason: "the wire is cut" });
    isDown = false;
    await ask(queue, hold("next", 1n));
    await ask(queue, hold("last", 1n));
    expect(asked).toEqual(["renew_lease", "void lost", "hold next", "hold last"]);
  });

  test("what is asked while orphans alone are voided waits for its turn: two batches are never under way at once", async () => {
    const gate = gateOf();
    const batches: string[][] = [];
    let [underWay, most] = [0, 0];
    const queue = new CommitQueue<string>(async (units) => {
      most = Math.max(most, ++underWay);
      batches.push(units.map(asWords));
      if (batches.length === 2) await gate.opened;
      underWay--;
      return batches.length === 1 ? units.map(() => ({ ok: false, code: "store_unavailable", isUnknown: true })) : allOk(units);
    });
    await ask(queue, hold("lost", 1n));
    await expect.poll(() => batches.length, { timeout: 5_000 }).toBe(2);
    const next = ask(queue, hold("next", 1n));
    await Promise.resolve();
    gate.open();
    expect(word(await next)).toBe("ok");
    expect([batches, most]).toEqual([[["hold lost"], ["renew_lease", "void lost"], ["hold next"]], 1]);
    await queue.close();
  });

  test("who asks for a hold waits for so long and no longer, and a hold that is made later is voided by itself", async () => {
    const asked: string[] = [];
    const gate = gateOf();
    const commit = async (units: readonly Unit<string>[]): Promise<UnitOutcome[]> => {
      await gate.opened;
      asked.push(...units.map(asWords));
      return allOk(units);
    };
    const queue = new CommitQueue<string>(commit, { batchMax: 1, askedWithinMs: 50 });
    const [sent, inLine] = await Promise.all([ask(queue, hold("sent", 1n)), ask(queue, hold("in-line", 1n))]);
    expect([sent, inLine]).toMatchObject([{ code: "store_unavailable", isUnknown: true }, { code: "store_unavailable" }]);
    expect(inLine).not.toHaveProperty("isUnknown");
    gate.open();
    await expect.poll(() => asked, { timeout: 5_000 }).toEqual(["hold sent", "renew_lease", "void sent"]);
    await queue.close();
  });

  test("a closed queue answers what was asked and refuses what comes", async () => {
    const queue = new CommitQueue<string>(async (units) => allOk(units));
    const asked = [ask(queue, hold("a", 1n)), write(queue, "row").then(onlyOk)];
    await queue.close();
    expect((await Promise.all(asked)).map(word)).toEqual(["ok", "ok"]);
    expect(word(await ask(queue, hold("b", 1n)))).toBe("store_unavailable");
    expect((await write(queue, "row")).ok).toBe(false);
  });
});

function onlyOk(outcome: UnitOutcome): Result {
  return outcome.ok ? OK : outcome;
}

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let store: TestLedger;
  afterEach(async () => {
    expect(await store.audit()).toEqual([]);
    await store.close();
  });

  function openLedger(batchMax: number): Promise<Ledger> {
    return Ledger.open(storeOf(store), { node: "node_1", leaseMs: 10 ** 13, limits: { batchMax } });
  }

  test.each([1, 2, 3])(
    "of a thousand holds at once exactly those are admitted that the credit covers (round %i)",
    { timeout: 30_000 },
    async () => {
      store = await open();
      await withCredit(store, 1_005n);
      const ledger = await openLedger(1 + Math.floor(Math.random() * 300));
      let samples = 0;
      let isDone = false;
      const sampling = (async () => {
        while (!isDone) {
          const [wallet] = (await store.query?.("SELECT balance, held, floor FROM wallets")) ?? [{ balance: 0n, held: 0n, floor: 0n }];
          expect((wallet?.["balance"] as bigint) - (wallet?.["held"] as bigint)).toBeGreaterThanOrEqual(wallet?.["floor"] as bigint);
          samples++;
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const results = await Promise.all(Array.from({ length: 1_000 }, (_, n) => ledger.ask(hold(`r${n}`, 100n))));
      isDone = true;
      await sampling;
      expect(samples).toBeGreaterThan(0);
      const words = results.map(word);
      expect(words.filter((each) => each === "ok")).toHaveLength(10);
      expect(words.filter((each) => each === "insufficient_credits")).toHaveLength(990);
      await ledger.close();
    },
  );

  test("one operation that the store cannot take refuses only itself", async () => {
    store = await open();
    await withCredit(store, 1_000n);
    await store.commit(["r1", "r2", "r3"].map((id) => hold(id, 10n)));
    const results = await store.commit([
      settle("r1", 5n),
      settle("r2", 5n, { basis: "guessed" as "exact" }),
      settle("r3", 5n),
      hold("r4", 5n),
    ]);
    // The engine alone has no rows whose CHECKs could refuse.
    expect(results.map(word)).toEqual(["ok", store.query === null ? "ok" : "store_failed", "ok", "ok"]);
    if (store.query !== null) expect(word(await store.one(voided("r2")))).toBe("ok");
  });

  test("after a restart the ledger goes on under a new epoch", async () => {
    store = await open();
    await withCredit(store, 1_000n);
    const first = await openLedger(500);
    expect(word(await first.ask(hold("r1", 100n)))).toBe("ok");
    const second = await openLedger(500);
    expect(second.epoch).toBe(first.epoch + 1);
    expect(must(await second.ask(hold("r2", 1_000n))).balances?.heldNanos).toBe(1_000n);
    await Promise.all([first.close(), second.close()]);
  });

  test("transfers, lot moves, corrections and closed holds cannot be changed, not even by hand", async () => {
    store = await open();
    await withCredit(store, 1_000n);
    await store.commit([hold("r1", 100n), settle("r1", 50n), { kind: "correct", id: "r1", costNanos: 60n }]);
    expect(store.nowMs).toBe(NOON);
    for (const table of ["transfers", "lot_moves", "corrections"])
      for (const sql of [`DELETE FROM ${table}`, `UPDATE ${table} SET ${table === "transfers" ? "amount" : "delta"} = 1`])
        if (store.query !== null) await expect(store.query(sql)).rejects.toThrow(`${table} never change`);
    if (store.query !== null) await expect(store.query("UPDATE holds SET charged = 1")).rejects.toThrow("holds never change");
  });
});
