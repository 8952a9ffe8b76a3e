import fc from "fast-check";
import { expect, test } from "vitest";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import type { LedgerState, Wallet } from "../../src/ledger/state.ts";
import { readStatement } from "../../src/store/ledger/read.ts";
import { BUDGETS, CORRECTIONS, HOLDS, LOTS, NODES, REFUNDS, TRANSFERS, WALLETS, WINDOWS } from "../../src/store/tables/ledger-shapes.ts";
import { objectOf } from "../../src/store/sql/shape.ts";
import type { Shape } from "../../src/store/sql/shape.ts";
import { MemoryLedger } from "./memory-ledger.ts";
import { broken } from "./observer.ts";
import { NOON } from "./operations.ts";
import { FIRST, intents, operationOf } from "./random-operations.ts";
import type { Intent } from "./random-operations.ts";
import { STORES } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

const TIMES = process.env["MILLRACE_LONG"] === "1" ? 10 : 1;
const OPERATIONS_PER_RUN = 1_000;
const RUNS: Readonly<Record<string, number>> = { SQLite: 100, PostgreSQL: 20 };
const BATCH_MAX = 20;

/** Node 1's clock: a lease that outlives every random jump. */
const LEASE_MS = 10 ** 12;

/** Asks the engine one by one, looking at each step, and the store in batches: the answers must be the same. */
class Comparison {
  readonly #memory = new MemoryLedger();
  readonly #store: TestLedger;
  readonly #asked: Operation[] = [];
  #batch: { operations: Operation[]; expected: Result[] } = { operations: [], expected: [] };
  #epoch = 0;
  #nowMs = NOON;
  #n = 0;

  constructor(store: TestLedger) {
    this.#store = store;
    this.#seat();
  }

  async ask(operation: Operation): Promise<void> {
    this.#asked.push(operation);
    const clock = { nowMs: this.#nowMs, node: "node_1", epoch: this.#epoch, leaseUntilMs: this.#nowMs + LEASE_MS };
    const [result] = this.#memory.commit(clock, [operation]);
    const changes = this.#memory.lastChanges;
    if (result === undefined || changes === null) throw new Error("the engine did not answer");
    const rules = broken({ operation, result, changes, after: this.#memory.state });
    if (rules.length > 0) throw new Error(`broken by ${show(operation)} -> ${show(result)}: ${rules.join("; ")}`);
    this.#batch.operations.push(operation);
    this.#batch.expected.push(result);
    if (result.ok && result.recovery !== null) {
      await this.flush();
      this.#epoch = result.recovery.epoch;
      this.#seat();
    }
  }

  async follow(intent: Intent): Promise<void> {
    // One batch has one time.
    if (intent.stepMs !== 0 || this.#batch.operations.length > intent.more % BATCH_MAX) await this.flush();
    this.#nowMs += intent.stepMs;
    const operation = operationOf(intent, ++this.#n, this.#memory.state, this.#nowMs, this.#asked.slice(-50));
    if (operation !== null) await this.ask(operation);
  }

  async flush(): Promise<void> {
    const { operations, expected } = this.#batch;
    this.#batch = { operations: [], expected: [] };
    this.#store.nowMs = this.#nowMs;
    expect(await this.#store.commit(operations)).toEqual(expected);
  }

  async finish(): Promise<void> {
    await this.flush();
    expect(await this.#store.audit()).toEqual([]);
    const state = this.#memory.state;
    for (const wallet of state.wallets.values()) await this.#compareStatements(wallet, state);
    const shapes: readonly unknown[] = [WALLETS, LOTS, BUDGETS, WINDOWS, TRANSFERS, CORRECTIONS, REFUNDS, NODES, HOLDS];
    for (const shape of shapes) await this.#compare(shape as Shape<{ id: string }>, state);
  }

  /** Of three stretches of time that follow each other; usage is what the account's requests were charged, and nothing else is. */
  async #compareStatements({ id, balanceNanos }: Wallet, state: LedgerState): Promise<void> {
    const times = [...state.transfers.values()].map((transfer) => transfer.createdAtMs).toSorted((a, b) => a - b);
    const cuts = [0, times[times.length >> 2] ?? 1, times[times.length >> 1] ?? 2, Number.MAX_SAFE_INTEGER];
    const usage = new Map<string, bigint>();
    let closing = 0n;
    for (const [at, fromMs] of cuts.slice(0, -1).entries()) {
      const statement = await this.#store.read?.(() => readStatement(id, fromMs, cuts[at + 1] ?? 0));
      if (statement === undefined) throw new Error("this is a database");
      expect(statement.openingNanos).toBe(closing);
      closing = statement.closingNanos;
      for (const [code, nanos] of statement.byCode) usage.set(code, (usage.get(code) ?? 0n) + nanos);
    }
    expect(closing).toBe(balanceNanos);
    const holds = [...state.holds.values()].filter((hold) => hold.walletId === id);
    const corrected = holds.map((hold) => state.corrections.get(hold.id)?.deltaNanos ?? 0n);
    expect(-(usage.get("usage") ?? 0n) - (usage.get("usage_promo") ?? 0n)).toBe(sumOf(holds.map((hold) => hold.chargedNanos ?? 0n)));
    expect(-(usage.get("correction") ?? 0n)).toBe(sumOf(corrected));
  }

  async #compare(shape: Shape<{ id: string }>, state: LedgerState): Promise<void> {
    const rows = await this.#store.query?.(shape.select);
    const found = new Map(rows?.map((row) => objectOf(shape, row)).map((row) => [row.id, row]));
    const table = shape.table === "budget_windows" ? state.windows : state[shape.table as "lots"];
    const expected = new Map([...table].map(([id, row]) => [id, without(row, "windowIds")]));
    expect(found).toEqual(expected);
  }

  #seat(): void {
    this.#store.seat = { node: "node_1", epoch: this.#epoch, leaseMs: LEASE_MS };
  }
}

function sumOf(amounts: readonly bigint[]): bigint {
  return amounts.reduce((sum, amount) => sum + amount, 0n);
}

function without(row: object, key: string): object {
  return Object.fromEntries(Object.entries(row).filter(([name]) => name !== key));
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? `${each}n` : each));
}

test.each(Object.keys(STORES).filter((name) => name in RUNS))(
  "%s: whatever is asked in whatever order, every rule holds after each operation, and the store agrees with the engine",
  { timeout: 120_000 * TIMES },
  async (name) => {
    await fc.assert(
      fc.asyncProperty(fc.array(intents, { minLength: OPERATIONS_PER_RUN, maxLength: OPERATIONS_PER_RUN, size: "max" }), async (run) => {
        const store = await STORES[name]?.();
        if (store === undefined) throw new Error(`no store ${name}`);
        try {
          const comparison = new Comparison(store);
          for (const operation of FIRST) await comparison.ask(operation);
          for (const intent of run) await comparison.follow(intent);
          await comparison.finish();
        } finally {
          await store.close();
        }
      }),
      { numRuns: (RUNS[name] ?? 1) * TIMES, endOnFailure: process.env["MILLRACE_SHRINK"] !== "1" },
    );
  },
);
