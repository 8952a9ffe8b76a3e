/** Databases of older programs: brought forward with all that is in them, or left as they were. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { migratePostgres } from "../../src/store/postgres/migrate.ts";
import { migrateSqlite } from "../../src/store/sqlite/migrate.ts";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { schemaSteps } from "../../src/store/schema/schema.ts";
import { sharedPostgres } from "../ledger/stores.ts";
import { postgresIsDue } from "../support/postgres.ts";

const SHA = "11".repeat(32);

/** What the first version's tables may hold. */
const ROWS = `
  INSERT INTO accounts (id, name, metered, created_at) VALUES ('default', 'default', 0, 1), ('acc_1', 'shop', 0, 2);
  INSERT INTO keys VALUES ('key_1', 'acc_1', 'app', x'${SHA}', 'sk-mr-ab...cdef', 3, NULL, 4);
  INSERT INTO requests VALUES ('req_1', 1700000000000, 'acc_1', 'key_1', 'chat', 'm', 'a', 'm', 1, 200, 'complete', NULL, '', 10, 2, 0, 5, 1,
    'exact', 7, 100, 1.5, NULL, NULL, 0.2, 9.5), ('req_2', 1700000000001, 'acc_1', 'key_1', 'chat', 'm', NULL, NULL, 0, 429, 'refused', 'rate_limited',
    '', 0, 0, 0, 0, 0, 'none', 0, 0, NULL, NULL, NULL, NULL, 0.1);
  INSERT INTO attempts VALUES ('req_1', 1, 'a', 'm', 'ok', 200, NULL, 'up_1', 10, 2, 0, 5, 1, 1.5, 9.0);`;

let directory: string;
let path: string;
let books: Books | null = null;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "millrace-migrations-"));
  path = join(directory, "millrace.db");
});
afterEach(async () => {
  await books?.close();
  books = null;
  rmSync(directory, { recursive: true });
});

function inFile<T>(work: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path);
  try {
    return work(database);
  } finally {
    database.close();
  }
}

async function open(): Promise<Books> {
  books = await openBooks({ dataDir: directory, database: { kind: "sqlite", path }, durability: "process", onTrouble: () => undefined });
  return books;
}

function read(sql: string): unknown[] {
  return inFile((database) =>
    database
      .prepare(sql)
      .all()
      .map((found) => Object.values(found)),
  );
}

const versions = schemaSteps("sqlite").map((_, at) => at + 1);

test.each(versions)("version %i of SQLite is brought forward with all that is in it", async (version) => {
  inFile((database) => {
    migrateSqlite(database, 1);
    database.exec(ROWS);
    migrateSqlite(database, version);
  });
  const { store } = await open();
  const { accounts, keys } = await store.query("records", { since: -1 });
  expect(accounts.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toMatchObject([
    { id: "acc_1", name: "shop", isMetered: false, status: "active", tier: null },
    { id: "default", name: "default" },
  ]);
  expect(keys).toMatchObject([{ id: "key_1", accountId: "acc_1", revokedAt: 4, scopes: null, limits: null, budgets: null }]);
  expect(Buffer.from(keys[0]?.sha256 ?? []).toString("hex")).toBe(SHA);
  expect(await store.query("request", { id: "req_1", accountId: "acc_1" })).toMatchObject({
    request: { inputTokens: 10, cachedInputTokens: 2, outputTokens: 5, reasoningTokens: 1, chargeNanos: null, basis: "exact" },
    attempts: [{ n: 1, upstream: "a", outcome: "ok", upstreamRequestId: "up_1" }],
  });
  expect(await store.query("audit", {})).toEqual([]);
  expect(read("SELECT period, requests, errors, input_tokens, output_tokens FROM usage_sums WHERE upstream = 'a' ORDER BY period")).toEqual(
    [
      ["day", 1, 0, 10, 5],
      ["hour", 1, 0, 10, 5],
    ],
  );
  expect(read("SELECT sum(requests), sum(errors) FROM usage_sums WHERE period = 'day'")).toEqual([[2, 1]]);
  expect(read("PRAGMA user_version")).toEqual([[versions.length]]);
});

/** What keeps a step from its end: the first statement brings it about, the second takes it away, `reason` is what the start says. */
interface Obstacle {
  readonly plant: string;
  readonly remove: string;
  readonly reason: string;
}

/** The last step that makes a table or an index wants this name for itself. */
const CREATES = /CREATE (?:TABLE|INDEX) (\w+)/;
const lastMaking = schemaSteps("sqlite").findLastIndex((step) => CREATES.test(step));
const [, wanted = ""] = CREATES.exec(schemaSteps("sqlite")[lastMaking] ?? "") ?? [];
const NAME_TAKEN: Obstacle = { plant: `CREATE TABLE ${wanted} (x INTEGER)`, remove: `DROP TABLE ${wanted}`, reason: wanted };

/** All steps run, and only then is it found out. */
const LOST_REQUEST: Obstacle = {
  plant: `PRAGMA foreign_keys = OFF; INSERT INTO attempts (request_id, n, upstream, upstream_model, outcome, duration_ms)
    VALUES ('req_9', 1, 'a', 'm', 'ok', 1)`,
  remove: "DELETE FROM attempts WHERE request_id = 'req_9'",
  reason: "1 rows refer to rows that are not there",
};

async function staysAsItWas(version: number, { plant, remove, reason }: Obstacle): Promise<void> {
  inFile((database) => {
    migrateSqlite(database, 1);
    database.exec(ROWS);
    migrateSqlite(database, version);
    database.exec(plant);
  });
  const content = (): unknown[] => [
    read("SELECT type, name, sql FROM sqlite_master ORDER BY type, name"),
    read("SELECT * FROM requests ORDER BY id"),
    read("PRAGMA user_version"),
  ];
  const before = content();
  await expect(open()).rejects.toThrow(reason);
  expect(content()).toEqual(before);
  inFile((database) => database.exec(remove));
  await open();
  expect(read("PRAGMA user_version")).toEqual([[versions.length]]);
}

test.each(versions.slice(0, lastMaking))("where a step fails nothing starts, and SQLite stays at version %i as it was", (version) =>
  staysAsItWas(version, NAME_TAKEN),
);

test.each(versions.slice(0, -1))("where steps leave something broken nothing starts, and SQLite stays at version %i as it was", (version) =>
  staysAsItWas(version, LOST_REQUEST),
);

test.each(versions)("rows of version %i of SQLite tell their endpoint, by its old name too", async (version) => {
  inFile((database) => {
    migrateSqlite(database, 1);
    database.exec(ROWS);
    migrateSqlite(database, version);
  });
  const { store } = await open();
  expect(await store.query("request", { id: "req_1", accountId: "acc_1" })).toMatchObject({ request: { endpoint: "chat" } });
  expect(read("SELECT id, endpoint, door FROM requests ORDER BY id")).toEqual([
    ["req_1", "chat", "chat"],
    ["req_2", "chat", "chat"],
  ]);
});

test.runIf(postgresIsDue())(
  "where a step fails PostgreSQL stays as it was, and a later start makes it good",
  { timeout: 60_000 },
  async () => {
    const { connection } = await sharedPostgres();
    const own = { ...connection, options: "-c search_path=halfway" };
    const client = new pg.Client(own);
    await client.connect();
    const [first = ""] = schemaSteps("postgres");
    await client.query("CREATE SCHEMA halfway");
    await client.query("CREATE TABLE millrace_schema (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)");
    await client.query(`${first}; INSERT INTO millrace_schema VALUES (1, 1); CREATE TABLE members (x BIGINT)`);
    const content = async (): Promise<unknown[]> => [
      (await client.query("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'halfway' ORDER BY 1, 2"))
        .rows,
      (await client.query("SELECT version FROM millrace_schema")).rows,
    ];
    const before = await content();
    await expect(migratePostgres(own)).rejects.toThrow("members");
    expect(await content()).toEqual(before);
    await client.query("DROP TABLE members");
    await migratePostgres(own);
    expect((await client.query("SELECT version FROM millrace_schema")).rows).toEqual([{ version: String(schemaSteps("postgres").length) }]);
    await client.end();
  },
);

test.runIf(postgresIsDue())("rows of an older PostgreSQL tell their endpoint, by its old name too", { timeout: 60_000 }, async () => {
  const { connection } = await sharedPostgres();
  const own = { ...connection, options: "-c search_path=renamed" };
  const client = new pg.Client(own);
  await client.connect();
  await client.query("CREATE SCHEMA renamed");
  await client.query("CREATE TABLE millrace_schema (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)");
  const steps = schemaSteps("postgres");
  const older = steps.findIndex((step) => step.includes("RENAME COLUMN door TO endpoint"));
  await client.query(`${steps.slice(0, older).join(";")}; INSERT INTO millrace_schema VALUES (1, ${older})`);
  const row = (name: string, id: string, endpoint: string): string => `
    INSERT INTO requests (id, at, account_id, key_id, ${name}, model, stream, status, end_reason, marks, input_tokens, cached_input_tokens,
      cache_write_tokens, output_tokens, reasoning_tokens, basis, events, bytes_out, duration_ms)
    VALUES ('${id}', 1, 'a', 'k', '${endpoint}', 'm', 1, 200, 'complete', '', 1, 0, 0, 1, 0, 'exact', 1, 1, 1)`;
  await client.query(row("door", "req_1", "chat"));
  await migratePostgres(own);
  await client.query(row("endpoint", "req_2", "embeddings"));
  expect((await client.query("SELECT id, endpoint, door FROM requests ORDER BY id")).rows).toEqual([
    { id: "req_1", endpoint: "chat", door: "chat" },
    { id: "req_2", endpoint: "embeddings", door: "embeddings" },
  ]);
  await client.end();
});
