import { afterEach, describe, expect, test } from "vitest";
import { Ledger } from "../../src/ledger/ledger.ts";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import { LedgerQueue } from "../../src/ledger/queue.ts";
import { hold, must, NOON, settle, voided, word } from "./operations.ts";
import { STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

const OK: Result = { ok: true, isRepeat: false, balances: null, hold: null, recovery: null };

describe("the queue", () => {
  test("what is asked in one turn is one batch, and what is asked meanwhile is the next", async () => {
    const batches: number[] = [];
    const queue = new LedgerQueue(async (operations) => {
      batches.push(operations.length);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return operations.map(() => OK);
    });
    const first = Array.from({ length: 40 }, (_, n) => queue.ask(hold(`a${n}`, 1n)));
    setTimeout(() => first.push(...Array.from({ length: 30 }, (_, n) => queue.ask(hold(`b${n}`, 1n)))), 2);
    await new Promise((resolve) => setTimeout(resolve, 4));
    await Promise.all(first);
    await queue.close();
    expect(batches).toEqual([40, 30]);
  });

  test("a full queue refuses new holds at once, and still takes the ends of those that exist", async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const queue = new LedgerQueue(async (operations) => (await gate, operations.map(() => OK)), { waitingMax: 2 });
    const waiting = [queue.ask(hold("a", 1n)), queue.ask(hold("b", 1n))];
    expect(queue.hasRoom).toBe(false);
    expect(word(await queue.ask(hold("c", 1n)))).toBe("store_unavailable");
    waiting.push(queue.ask(settle("a", 1n)));
    release();
    expect((await Promise.all(waiting)).map(word)).toEqual(["ok", "ok", "ok"]);
  });

  test("a hold whose outcome was lost is voided as soon as the store is back", async () => {
    const asked: Operation[] = [];
    let isDown = true;
    const queue = new LedgerQueue(async (operations) => {
      if (isDown) throw new Error("the wire is cut");
      asked.push(...operations);
      return operations.map(() => OK);
    });
    expect(await queue.ask(hold("lost", 1n))).toMatchObject({ code: "store_unavailable", isUnknown: true });
    isDown = false;
    await queue.ask(hold("next", 1n));
    await queue.ask(hold("last", 1n));
    expect(asked.map((each) => `${each.kind} ${"id" in each ? each.id : ""}`)).toEqual([
      "renew_lease ",
      "void lost",
      "hold next",
      "hold last",
    ]);
  });

  test("who asks for a hold waits for so long and no longer, and a hold that is made later is voided by itself", async () => {
    const asked: Operation[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const commit = async (operations: readonly Operation[]): Promise<Result[]> => {
      await gate;
      asked.push(...operations);
      return operations.map(() => OK);
    };
    const queue = new LedgerQueue(commit, { batchMax: 1, askedWithinMs: 50 });
    const [sent, inLine] = await Promise.all([queue.ask(hold("sent", 1n)), queue.ask(hold("in-line", 1n))]);
    expect([sent, inLine]).toMatchObject([{ code: "store_unavailable", isUnknown: true }, { code: "store_unavailable" }]);
    expect(inLine).not.toHaveProperty("isUnknown");
    release();
    await expect.poll(() => asked.map((each) => each.kind), { timeout: 5_000 }).toEqual(["hold", "renew_lease", "void"]);
    await queue.close();
  });

  test("a closed queue answers what was asked and refuses what comes", async () => {
    const queue = new LedgerQueue(async (operations) => operations.map(() => OK));
    const asked = queue.ask(hold("a", 1n));
    await queue.close();
    expect(word(await asked)).toBe("ok");
    expect(word(await queue.ask(hold("b", 1n)))).toBe("store_unavailable");
  });
});

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let store: TestLedger;
  afterEach(async () => {
    expect(await store.audit()).toEqual([]);
    await store.close();
  });

  function openLedger(batchMax: number): Promise<Ledger> {
    return Ledger.open(
      {
        commit: async (seat, operations) => {
          store.seat = seat;
          return await store.commit(operations);
        },
      },
      { node: "node_1", leaseMs: 10 ** 13, limits: { batchMax } },
    );
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
