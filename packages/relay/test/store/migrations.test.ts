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

/** The last step wants this name for itself. */
const [, wanted = ""] = /CREATE (?:TABLE|INDEX) (\w+)/.exec(schemaSteps("sqlite").at(-1) ?? "") ?? [];

test.each(versions.slice(0, -1))("where a step fails nothing starts, and SQLite stays at version %i as it was", async (version) => {
  inFile((database) => {
    migrateSqlite(database, 1);
    database.exec(ROWS);
    migrateSqlite(database, version);
    database.exec(`CREATE TABLE ${wanted} (x INTEGER)`);
  });
  const content = (): unknown[] => [
    read("SELECT type, name, sql FROM sqlite_master ORDER BY type, name"),
    read("SELECT * FROM requests ORDER BY id"),
    read("PRAGMA user_version"),
  ];
  const before = content();
  await expect(open()).rejects.toThrow(wanted);
  expect(content()).toEqual(before);
  inFile((database) => database.exec(`DROP TABLE ${wanted}`));
  await open();
  expect(read("PRAGMA user_version")).toEqual([[versions.length]]);
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
