/** The stores that every claim about the ledger is made of: the engine alone, and each database under it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll } from "vitest";
import type { LedgerStore } from "../../src/ledger/ledger.ts";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import type { Breach } from "../../src/store/ledger/audit.ts";
import type { Sql } from "../../src/store/sql/sql.ts";
import type { FencingToken } from "../../src/ledger/unit.ts";
import { PostgresLedger } from "../../src/store/postgres/ledger.ts";
import { migratePostgres } from "../../src/store/postgres/migrate.ts";
import { BIGINT_TYPES } from "../../src/store/postgres/session.ts";
import { SqliteLedger } from "../../src/store/sqlite/ledger.ts";
import { postgresIsDue, startPostgres } from "../support/postgres.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { MemoryLedger } from "./memory-ledger.ts";
import { commitEach, NOON } from "./operations.ts";
import { openSqlite } from "./sqlite-file.ts";

export interface TestLedger {
  /** What the ledger takes for the time. */
  nowMs: number;
  /** The process that asks; its epoch follows its recoveries. */
  seat: FencingToken;
  commit(operations: readonly Operation[]): Promise<Result[]>;
  one(operation: Operation): Promise<Result>;
  /** What is wrong in the books. */
  audit(): Promise<Breach[]>;
  /** Reads as people do, if this is a database. */
  read: (<T>(sql: () => Sql<T>) => Promise<T>) | null;
  /** Runs a query, if this is a database. */
  query: ((sql: string) => Promise<Record<string, unknown>[]>) | null;
  close(): Promise<void>;
}

export const SEAT: FencingToken = { node: "node_1", epoch: 1, leaseMs: 60_000 };

abstract class BaseLedger implements TestLedger {
  nowMs = NOON;
  seat: FencingToken = SEAT;
  read: TestLedger["read"] = null;
  query: TestLedger["query"] = null;
  abstract commit(operations: readonly Operation[]): Promise<Result[]>;
  abstract audit(): Promise<Breach[]>;
  abstract close(): Promise<void>;
  async one(operation: Operation): Promise<Result> {
    const [result] = await this.commit([operation]);
    if (result === undefined) throw new Error("a batch of one has one answer");
    return result;
  }
}

class InMemory extends BaseLedger {
  readonly #ledger = new MemoryLedger();
  async commit(operations: readonly Operation[]): Promise<Result[]> {
    const { node, epoch, leaseMs } = this.seat;
    return this.#ledger.commit({ nowMs: this.nowMs, node, epoch, leaseUntilMs: this.nowMs + leaseMs }, operations);
  }
  async audit(): Promise<Breach[]> {
    return [];
  }
  async close(): Promise<void> {}
}

class OnSqlite extends BaseLedger {
  readonly #directory = mkdtempSync(join(tmpdir(), "millrace-ledger-"));
  readonly #database = openSqlite(join(this.#directory, "ledger.db"));
  readonly #ledger = new SqliteLedger(this.#database, () => this.nowMs);
  override read = async <T>(sql: () => Sql<T>): Promise<T> => this.#ledger.read(sql());
  override query = async (sql: string): Promise<Record<string, unknown>[]> => {
    const statement = this.#database.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all();
  };
  async commit(operations: readonly Operation[]): Promise<Result[]> {
    return commitEach(this.#ledger, this.seat, operations);
  }
  async audit(): Promise<Breach[]> {
    return this.#ledger.audit();
  }
  async close(): Promise<void> {
    this.#database.close();
    rmSync(this.#directory, { recursive: true });
  }
}

class OnPostgres extends BaseLedger {
  readonly #ledger: PostgresLedger;
  readonly #client: pg.Client;
  constructor(client: pg.Client, connection: pg.ClientConfig) {
    super();
    this.#client = client;
    this.#ledger = new PostgresLedger({ connection, now: () => this.nowMs });
  }
  override read = async <T>(sql: () => Sql<T>): Promise<T> => await this.#ledger.read(sql());
  override query = async (sql: string): Promise<Record<string, unknown>[]> => (await this.#client.query<Record<string, unknown>>(sql)).rows;
  async commit(operations: readonly Operation[]): Promise<Result[]> {
    return await commitEach(this.#ledger, this.seat, operations);
  }
  async audit(): Promise<Breach[]> {
    return await this.#ledger.audit();
  }
  async close(): Promise<void> {
    await this.#ledger.close();
    await this.#client.end();
  }
}

let server: Promise<TestPostgres> | null = null;
let schemas = 0;
afterAll(async () => {
  await (await server)?.stop();
});

/** The server that the tests of one file share. */
export function sharedPostgres(): Promise<TestPostgres> {
  server ??= startPostgres();
  return server;
}

/** A ledger of its own on the shared server: a connection's settings that lead to it. */
export async function newPostgresSchema(): Promise<pg.ClientConfig> {
  const { connection } = await sharedPostgres();
  const name = `ledger_${++schemas}`;
  const client = new pg.Client({ ...connection, options: `-c search_path=${name}` });
  await client.connect();
  await client.query(`CREATE SCHEMA ${name}`);
  await client.end();
  const own = { ...connection, options: `-c search_path=${name}` };
  await migratePostgres(own);
  return own;
}

async function openOnPostgres(): Promise<TestLedger> {
  const connection = await newPostgresSchema();
  const client = new pg.Client({ ...connection, types: BIGINT_TYPES });
  await client.connect();
  return new OnPostgres(client, connection);
}

export const STORES: Readonly<Record<string, () => Promise<TestLedger>>> = {
  "the engine alone": async () => new InMemory(),
  SQLite: async () => new OnSqlite(),
  ...(postgresIsDue() ? { PostgreSQL: openOnPostgres } : {}),
};

/** The test's ledger as the relay's asks it, in units of one operation. */
export function storeOf(ledger: TestLedger): Pick<LedgerStore<unknown>, "commit"> {
  return {
    commit: async (token, units) => {
      ledger.seat = token;
      const results = await ledger.commit(units.flatMap(({ operations }) => operations));
      return results.map((result) => ({ ok: true, results: [result] }));
    },
  };
}

/** A booted process and an account with credit. */
export async function withCredit(ledger: TestLedger, amountNanos: bigint, floorNanos = 0n): Promise<void> {
  await ledger.commit([
    { kind: "recover", node: ledger.seat.node },
    { kind: "open_wallet", accountId: "acme", floorNanos },
  ]);
  if (amountNanos > 0n)
    await ledger.one({
      kind: "credit",
      accountId: "acme",
      amountNanos,
      lotKind: "paid",
      priority: 100,
      isRefundable: true,
      expiresAtMs: null,
      reference: "top-up-1",
      reason: "test",
      actor: "test",
    });
}
