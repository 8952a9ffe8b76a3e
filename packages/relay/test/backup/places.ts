/** Databases of both kinds in places of their own, and what fills them with everything that the books know. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import pg from "pg";
import type { DatabaseConfig } from "../../src/config/config.ts";
import type { Operation } from "../../src/ledger/operation.ts";
import { layoutOf } from "../../src/store/backup/layout.ts";
import { appendNotes } from "../../src/store/tables/control-rows.ts";
import { unitsOf } from "../../src/ledger/unit.ts";
import { commitUnits } from "../../src/store/ledger/commit.ts";
import { migratePostgres } from "../../src/store/postgres/migrate.ts";
import { Session } from "../../src/store/postgres/session.ts";
import { schemaSteps } from "../../src/store/schema/schema.ts";
import type { Dialect } from "../../src/store/sql/dialect.ts";
import { read, writeRows } from "../../src/store/sql/sql.ts";
import type { Row, Sql, SqlValue } from "../../src/store/sql/sql.ts";
import { insertInto } from "../../src/store/sql/statements.ts";
import { SqliteRunner } from "../../src/store/sqlite/runner.ts";
import { transaction } from "../../src/store/transaction.ts";
import { MemoryLedger } from "../ledger/memory-ledger.ts";
import { NOON } from "../ledger/operations.ts";
import { FIRST, intents, operationOf } from "../ledger/random-operations.ts";
import { openSqlite } from "../ledger/sqlite-file.ts";
import { sharedPostgres } from "../ledger/stores.ts";
import { postgresIsDue } from "../support/postgres.ts";

export const DIALECTS: readonly Dialect[] = postgresIsDue() ? ["sqlite", "postgres"] : ["sqlite"];
/** A lease that outlives every random jump of the clock. */
const LEASE_MS = 10 ** 12;

export interface Place {
  readonly dialect: Dialect;
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  /** Options of the command that lead here. */
  readonly env: Readonly<Record<string, string>>;
  /** There are tables of ours. */
  hasTables(): Promise<boolean>;
  run<T>(make: () => Sql<T>): Promise<T>;
  remove(): Promise<void>;
}

let databases = 0;

/** An empty data directory, and a database that is not there yet or empty. */
export async function newPlace(dialect: Dialect): Promise<Place> {
  const dataDir = mkdtempSync(join(tmpdir(), "millrace-backup-"));
  return dialect === "sqlite" ? sqlitePlace(dataDir) : postgresPlace(dataDir);
}

function sqlitePlace(dataDir: string): Place {
  const path = join(dataDir, "millrace.db");
  return {
    dialect: "sqlite",
    dataDir,
    database: { kind: "sqlite", path },
    env: { MILLRACE_DATA: dataDir },
    hasTables: async () => {
      const database = new DatabaseSync(path);
      const found = database.prepare("SELECT 1 FROM sqlite_schema").get();
      database.close();
      return found !== undefined;
    },
    run: async (make) => {
      const database = openSqlite(path);
      try {
        return new SqliteRunner(database).run(make());
      } finally {
        database.close();
      }
    },
    remove: async () => rmSync(dataDir, { recursive: true }),
  };
}

async function postgresPlace(dataDir: string): Promise<Place> {
  const { connection } = await sharedPostgres();
  const name = `backup_${++databases}`;
  const client = new pg.Client(connection);
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  const url = `postgres://${connection.user}@${connection.host}:${connection.port}/${name}`;
  const session = async <T>(act: (session: Session) => Promise<T>): Promise<T> => {
    const opened = await Session.open({ connectionString: url }, "", 60_000);
    try {
      return await act(opened);
    } finally {
      await opened.close();
    }
  };
  return {
    dialect: "postgres",
    dataDir,
    database: { kind: "postgres", url },
    env: { MILLRACE_DATA: dataDir, MILLRACE_DATABASE_URL: url },
    hasTables: () =>
      session(async (opened) => {
        const rows = await opened.run(read("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", []));
        return rows.length > 0;
      }),
    run: async (make) => {
      await migratePostgres({ connectionString: url });
      return session((opened) => opened.run(make()));
    },
    remove: async () => rmSync(dataDir, { recursive: true }),
  };
}

/** Every row of every table, in an order of its own, as text. */
export async function contentOf(place: Place): Promise<Readonly<Record<string, readonly string[]>>> {
  const content: Record<string, readonly string[]> = {};
  for (const { name, columns } of layoutOf(place.dialect, schemaSteps(place.dialect).length)) {
    const names = columns.map((column) => column.name);
    const rows = await place.run(() => read(`SELECT ${names.join(", ")} FROM ${name}`, []));
    content[name] = rows.map((row) => lineOf(names, row)).toSorted();
  }
  return content;
}

function lineOf(names: readonly string[], row: Row): string {
  const values = names.map((name) => {
    const value = row[name];
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
    return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
  });
  return JSON.stringify(values);
}

/**
 * Operations drawn at random, on the engine alone and then in the place, so that its tables hold all that the ledger
 * knows; and rows that are as odd as the columns allow.
 * @param node whose holds they are; with `isEnded` none stays open.
 */
export async function fill(place: Place, { node = "node_1", count = 1_500, isEnded = false } = {}): Promise<void> {
  const memory = new MemoryLedger();
  let [epoch, nowMs, n] = [0, NOON, 0];
  const batches: { operations: Operation[]; nowMs: number; epoch: number }[] = [];
  const asked: Operation[] = [];
  const ask = (given: Operation): void => {
    const operation: Operation = given.kind === "recover" ? { ...given, node } : given;
    asked.push(operation);
    const last = batches.at(-1);
    if (last?.nowMs === nowMs && last.epoch === epoch) last.operations.push(operation);
    else batches.push({ operations: [operation], nowMs, epoch });
    const [result] = memory.commit({ nowMs, node, epoch, leaseUntilMs: nowMs + LEASE_MS }, [operation]);
    if (result?.ok === true && result.recovery !== null) epoch = result.recovery.epoch;
  };
  for (const operation of FIRST) ask(operation);
  for (const intent of fc.sample(intents, { numRuns: count, seed: 7 })) {
    nowMs += intent.stepMs;
    const operation = operationOf(intent, ++n, memory.state, nowMs, asked.slice(-50));
    if (operation !== null) ask(operation);
  }
  if (isEnded) ask({ kind: "recover", node });
  await place.run(function* () {
    for (const batch of batches) {
      const settings = { now: () => batch.nowMs };
      yield* commitUnits(settings, { node, epoch: batch.epoch, leaseMs: LEASE_MS }, unitsOf(batch.operations));
    }
  });
  await place.run(() => transaction(() => oddRows(place.dialect)));
}

/** Letters of every kind, what quoting in either database could trip over, and what looks like nothing. */
const TEXTS = [
  "",
  "NULL",
  "null",
  "{}",
  '{"a",NULL}',
  "a,b",
  "\\N",
  "\\x00",
  "'\"`$1?",
  "\r\n\t\u001F\u007F",
  "日本語 🤖 e\u0301",
  "\u202Eabc\uFFFE",
];
const WHOLE = [0n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
const REALS = [0, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -1e21, 123456789.12345679];

function* oddRows(dialect: Dialect): Sql<void> {
  const tables = new Map(layoutOf(dialect, schemaSteps(dialect).length).map((table) => [table.name, table]));
  const add = function* (name: string, rows: readonly Readonly<Record<string, SqlValue>>[]): Sql<void> {
    const columns = tables.get(name)?.columns ?? [];
    for (const row of rows) yield* writeRows(insertInto({ table: name, columns }), [columns.map((column) => row[column.name] ?? null)]);
  };
  yield* add(
    "accounts",
    TEXTS.map((name, at) => ({ id: `acct_${at}`, name, metered: 1n, created_at: WHOLE[at % 5] ?? 0n, status: "active", version: 1n })),
  );
  yield* add(
    "keys",
    TEXTS.map((name, at) => ({
      id: `key_${at}`,
      account_id: `acct_${at}`,
      name,
      sha256: Buffer.alloc(32, at === 0 ? 0 : 255 - at),
      hint: name,
      created_at: 0n,
      expires_at: WHOLE[at % 5] ?? null,
      limits: JSON.stringify([name]),
      version: 1n,
    })),
  );
  yield* add(
    "price_versions",
    TEXTS.map((text, at) => ({ id: `price_${at}`, version: text, created_at: WHOLE[at % 5] ?? 0n })),
  );
  yield* add(
    "members",
    TEXTS.map((name, at) => ({
      id: `member_${at}`,
      name,
      role: "viewer",
      sha256: digest(at),
      hint: name,
      created_at: WHOLE[at % 5] ?? 0n,
    })),
  );
  yield* appendNotes(
    TEXTS.map((text, at) => ({
      at: REALS.length * at,
      actor: text,
      role: text,
      action: text,
      target: text,
      before: at % 2 === 0 ? null : { [text]: REALS },
      after: { text },
      address: at % 3 === 0 ? null : text,
    })),
  );
  yield* add(
    "requests",
    TEXTS.map((text, at) => requestRow(text, at)),
  );
  yield* add(
    "attempts",
    TEXTS.map((text, at) => ({
      request_id: `req_odd_${at}`,
      n: 1n,
      upstream: text,
      upstream_model: text,
      outcome: "ok",
      detail: text,
      duration_ms: REALS[at % 6] ?? 0,
    })),
  );
  yield* add(
    "usage_sums",
    TEXTS.map((text, at) => ({
      ...NO_SUMS,
      period: "hour",
      starts_at: BigInt(at),
      account_id: text,
      key_id: text,
      model: text,
      upstream: text,
      charge_nanos: WHOLE[at % 5] ?? 0n,
    })),
  );
}

function digest(of: number): string {
  return String(of).padStart(64, "0");
}

const NO_SUMS = {
  requests: 1n,
  errors: 0n,
  input_tokens: 0n,
  cached_input_tokens: 0n,
  cache_write_tokens: 0n,
  output_tokens: 0n,
  reasoning_tokens: 0n,
  charge_nanos: 0n,
  cost_nanos: 0n,
};

function requestRow(text: string, at: number): Readonly<Record<string, SqlValue>> {
  return {
    ...NO_SUMS,
    id: `req_odd_${at}`,
    at: WHOLE[at % 5] ?? 0n,
    account_id: text,
    key_id: text,
    endpoint: "chat",
    model: text,
    stream: 1n,
    status: 200n,
    end_reason: text,
    error_code: at % 2 === 0 ? text : null,
    marks: text,
    basis: "exact",
    events: 1n,
    bytes_out: WHOLE[(at + 3) % 5] ?? 0n,
    ttft_ms: REALS[at % 6] ?? 0,
    itl_max_ms: Infinity,
    duration_ms: REALS[(at + 1) % 6] ?? 0,
    charge_nanos: WHOLE[at % 5] ?? 0n,
    cost_nanos: at % 3 === 0 ? null : (WHOLE[(at + 1) % 5] ?? 0n),
  };
}
