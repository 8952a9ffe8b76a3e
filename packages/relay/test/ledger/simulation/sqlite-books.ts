/** The same books in SQLite, where a batch is many statements: any of them can fail, and the process can die before any. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { NO_USAGE, requestRow } from "../../../src/insight/row.ts";
import type { Operation, Result } from "../../../src/ledger/operation.ts";
import type { Changes, LedgerState, LotMove, TableChanges } from "../../../src/ledger/state.ts";
import { onlyResult } from "../../../src/ledger/unit.ts";
import type { FencingToken } from "../../../src/ledger/unit.ts";
import { GuardFailed } from "../../../src/store/sql/sql.ts";
import type { Sql } from "../../../src/store/sql/sql.ts";
import { SqliteLedger } from "../../../src/store/sqlite/ledger.ts";
import { migrateSqlite } from "../../../src/store/sqlite/migrate.ts";
import { SqliteRunner } from "../../../src/store/sqlite/runner.ts";
import {
  BUDGETS,
  CORRECTIONS,
  HOLDS,
  LOT_MOVES,
  LOTS,
  NODES,
  REFUNDS,
  TRANSFERS,
  WALLETS,
  WINDOWS,
} from "../../../src/store/tables/ledger-shapes.ts";
import { REQUESTS } from "../../../src/store/tables/request-rows.ts";
import type { Write } from "../../../src/store/tables/writes.ts";
import { objectOf } from "../../../src/store/sql/shape.ts";
import type { Shape } from "../../../src/store/sql/shape.ts";
import { NOON } from "../operations.ts";
import { Killed } from "./books.ts";
import type { Books, Commit, RequestUnit } from "./books.ts";
import type { Step } from "./script.ts";

/** What happens instead of the statement of that number, once. */
interface Trip {
  readonly at: number;
  readonly how: "killed" | "conflict" | "database" | "operation";
}

const HOWS: readonly Trip["how"][] = ["killed", "conflict", "database", "operation"];
/** Most batches have fewer statements. */
const STATEMENTS = 20;
/** SQLite's code for a disk that is full. */
const SQLITE_FULL = 13;

/** Mistakes of a database, planted to see them found. */
export interface SqlitePlant {
  /** What a transaction did before it failed stays. */
  readonly isTorn?: boolean;
  /** The row of a request is not in the transaction of its charge. */
  readonly losesRows?: boolean;
}

class TrippingRunner extends SqliteRunner {
  trip: Trip | null = null;
  isTorn = false;

  override run<T>(sql: Sql<T>): T {
    return super.run(this.#tripped(sql));
  }

  *#tripped<T>(sql: Sql<T>): Sql<T> {
    let count = 0;
    let step = sql.next();
    while (step.done !== true) {
      const { trip } = this;
      if (trip !== null && count++ === trip.at) {
        this.trip = null;
        if (trip.how === "killed") throw new Killed();
        step = sql.throw(failureOf(trip.how));
        continue;
      }
      try {
        step = sql.next(yield this.isTorn && step.value.kind === "rollback" ? { kind: "commit" } : step.value);
      } catch (error) {
        step = sql.throw(error);
      }
    }
    return step.value;
  }
}

function failureOf(how: Exclude<Trip["how"], "killed">): Error {
  if (how === "conflict") return new GuardFailed("planted");
  return how === "database" ? Object.assign(new Error("planted"), { errcode: SQLITE_FULL }) : new Error("planted");
}

/** Makes the tables once; each history gets a copy. */
export class SqliteTemplate {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    const database = new DatabaseSync(this.#path("template"));
    migrateSqlite(database);
    database.close();
  }

  open(name: string, onCommit: (commit: Commit) => void, plant: SqlitePlant = {}): SqliteBooks {
    copyFileSync(this.#path("template"), this.#path(name));
    const database = new DatabaseSync(this.#path(name));
    database.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;");
    return new SqliteBooks(database, onCommit, plant);
  }

  #path(name: string): string {
    return join(this.#directory, `${name}.db`);
  }
}

class SqliteBooks implements Books {
  nowMs = NOON;
  readonly #database: DatabaseSync;
  readonly #plant: SqlitePlant;
  readonly #runner: TrippingRunner;
  readonly #ledger: SqliteLedger;
  readonly #onCommit: (commit: Commit) => void;
  /** Requests whose relay asked for their end. */
  readonly #ended = new Set<string>();
  readonly #prepared = new Map<string, StatementSync>();
  #state: Loaded;

  constructor(database: DatabaseSync, onCommit: (commit: Commit) => void, plant: SqlitePlant) {
    this.#database = database;
    this.#plant = plant;
    this.#runner = new TrippingRunner(database);
    this.#runner.isTorn = plant.isTorn === true;
    this.#ledger = new SqliteLedger(database, () => this.nowMs, this.#runner);
    this.#onCommit = onCommit;
    this.#state = this.#load();
  }

  get state(): LedgerState {
    return this.#state;
  }

  /** The next batch trips where the step says, if it has so many statements. */
  arm({ pick, amount }: Step): void {
    const how = HOWS[pick % HOWS.length] ?? "killed";
    this.#runner.trip = amount % 2 === 0 ? null : { at: (amount >> 1) % STATEMENTS, how };
  }

  commit(token: FencingToken, units: readonly RequestUnit[]): readonly Result[] {
    try {
      const stored = units.map(({ operations, writes }) => ({ operations, writes: writes.length > 0 ? this.#rowsOf(operations) : [] }));
      const results = this.#ledger.commit(token, stored).map(onlyResult);
      this.#tell(
        token,
        units.flatMap((unit) => unit.operations),
        results,
      );
      return results;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec(this.#plant.isTorn === true ? "COMMIT" : "ROLLBACK");
      throw error;
    } finally {
      this.#runner.trip = null;
    }
  }

  #tell(token: FencingToken, operations: readonly Operation[], results: readonly Result[]): void {
    const before = this.#state;
    this.#state = this.#load();
    const changes = changesOf(before, this.#state);
    this.#onCommit({ token, nowMs: this.nowMs, operations, results, changes, state: this.#state });
  }

  /** The rows of requests that somebody heard of: with how each ended by what is asked. */
  #rowsOf(operations: readonly Operation[]): readonly Write[] {
    if (this.#plant.losesRows === true) return [];
    return operations.flatMap((operation) => {
      if (operation.kind !== "settle" && operation.kind !== "void" && operation.kind !== "correct") return [];
      this.#ended.add(operation.id);
      const isLate = operation.kind === "correct" || operation.endReason === "store_unavailable";
      const how = isLate
        ? ({ endReason: "store_unavailable", errorCode: "store_unavailable" } as const)
        : ({ endReason: "complete", errorCode: null } as const);
      const { accountId = "plain", keyId = "key_1", createdAtMs = 0 } = this.#state.holds.get(operation.id) ?? {};
      const who = { id: operation.id, at: createdAtMs, accountId, keyId, endpoint: "chat", model: "m", revision: 1 };
      return { kind: "row", row: requestRow({ ...who, ...how, isStream: true, status: 200, usage: NO_USAGE, durationMs: 1 }) };
    });
  }

  /** What is wrong in the books beside what the oracle sees: each request has one row, which says what it was charged. */
  breaches(): string[] {
    const wrong = this.#ledger.audit().map(({ claim, ids }) => `${claim}: ${ids.join()}`);
    const rows = new Map(this.#all(REQUESTS).map((row) => [row.id, row]));
    for (const hold of this.#state.holds.values()) {
      // Of a hold that nobody heard of there is none.
      if (hold.state === "voided" && !this.#ended.has(hold.id)) continue;
      const net = (hold.chargedNanos ?? 0n) + (this.#state.corrections.get(hold.id)?.deltaNanos ?? 0n);
      const row = rows.get(hold.id);
      if (row === undefined) wrong.push(`a request that ended has a row: ${hold.id}`);
      else if (hold.walletId !== null && row.chargeNanos !== net) wrong.push(`a row says what its request was charged: ${hold.id}`);
    }
    const [sums] = this.#query("SELECT COALESCE(SUM(charge_nanos), 0) AS nanos FROM usage_sums WHERE period = 'day'");
    const total = [...rows.values()].reduce((sum, { chargeNanos }) => sum + (chargeNanos ?? 0n), 0n);
    if (sums?.["nanos"] !== total) wrong.push(`sums of usage are those of the rows: ${String(sums?.["nanos"])} and ${total}`);
    return wrong;
  }

  close(): void {
    this.#database.close();
  }

  #load(): Loaded {
    const windows = new Map<string, string[]>();
    for (const row of this.#query("SELECT hold_id, window_id FROM hold_budgets ORDER BY window_id")) {
      const id = String(row["hold_id"]);
      windows.set(id, [...(windows.get(id) ?? []), String(row["window_id"])]);
    }
    const holds = this.#all(HOLDS).map((hold) => ({ ...hold, windowIds: windows.get(hold.id) ?? [] }));
    return {
      wallets: byId(this.#all(WALLETS)),
      lots: byId(this.#all(LOTS)),
      budgets: byId(this.#all(BUDGETS)),
      windows: byId(this.#all(WINDOWS)),
      holds: byId(holds),
      transfers: byId(this.#all(TRANSFERS)),
      corrections: byId(this.#all(CORRECTIONS)),
      refunds: byId(this.#all(REFUNDS)),
      nodes: byId(this.#all(NODES)),
      idempotency: new Map(),
      settledMoves: new Map(),
      lotMoves: this.#all(LOT_MOVES),
    };
  }

  #all<T>(shape: Shape<T>): T[] {
    return this.#query(shape.select).map((row) => objectOf(shape, row));
  }

  #query(sql: string): Record<string, unknown>[] {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      statement.setReadBigInts(true);
      this.#prepared.set(sql, statement);
    }
    return statement.all();
  }
}

type Loaded = LedgerState & { readonly lotMoves: readonly LotMove[] };

function byId<T extends { readonly id: string }>(rows: readonly T[]): Map<string, T> {
  return new Map(rows.map((row) => [row.id, row]));
}

function changesOf(before: Loaded, after: Loaded): Changes {
  const of = <K extends "wallets" | "lots" | "budgets" | "windows" | "holds" | "refunds" | "nodes">(table: K): Changes[K] =>
    tableChanges(before[table], after[table]) as Changes[K];
  return {
    wallets: of("wallets"),
    lots: of("lots"),
    budgets: of("budgets"),
    windows: of("windows"),
    holds: of("holds"),
    refunds: of("refunds"),
    nodes: of("nodes"),
    transfers: [...after.transfers.values()].filter(({ id }) => !before.transfers.has(id)),
    lotMoves: after.lotMoves.filter(({ transferId }) => !before.transfers.has(transferId)),
    corrections: [...after.corrections.values()].filter(({ id }) => !before.corrections.has(id)),
    idempotencyFreed: [],
    idempotencyAdded: [],
  };
}

function tableChanges(before: ReadonlyMap<string, object>, after: ReadonlyMap<string, object>): TableChanges<object> {
  const added: object[] = [];
  const changed: { before: object; after: object }[] = [];
  for (const [id, row] of after) {
    const was = before.get(id);
    if (was === undefined) added.push(row);
    else if (!isSame(was, row)) changed.push({ before: was, after: row });
  }
  return { added, changed };
}

function isSame(a: object, b: object): boolean {
  const other = b as Record<string, unknown>;
  return Object.entries(a).every(([key, value]) => value === other[key] || String(value) === String(other[key]));
}
