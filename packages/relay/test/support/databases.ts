/** The databases that a relay can keep its books in, each new and empty for one test. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type pg from "pg";
import { afterAll } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { postgresIsDue, queryPostgres, startPostgres } from "./postgres.ts";
import type { TestPostgres } from "./postgres.ts";

export interface TestDatabase {
  /** What the configuration says of it, for a relay in this directory. */
  configIn(dataDir: string): Config["database"];
  /** Runs a query on what is committed; integers are bigint. */
  query(dataDir: string, sql: string): Promise<Record<string, unknown>[]>;
}

export const SQLITE: TestDatabase = {
  configIn: (dataDir) => ({ kind: "sqlite", path: join(dataDir, "millrace.db") }),
  query: async (dataDir, sql) => {
    const database = new DatabaseSync(join(dataDir, "millrace.db"), { readOnly: true });
    try {
      const statement = database.prepare(sql);
      statement.setReadBigInts(true);
      return statement.all();
    } finally {
      database.close();
    }
  },
};

let server: Promise<TestPostgres> | null = null;
let databases = 0;
afterAll(async () => {
  const started = await server;
  server = null;
  await started?.stop();
});

/** The server that the tests of one file share. */
function sharedServer(): Promise<TestPostgres> {
  server ??= startPostgres();
  return server;
}

export function urlOf({ host, port, user, database }: pg.ClientConfig): string {
  return `postgres://${user ?? ""}@${host ?? ""}:${port ?? 0}/${database ?? ""}`;
}

/** A database of its own on the shared server. */
async function newPostgres(): Promise<TestDatabase> {
  const { connection } = await sharedServer();
  const own = { ...connection, database: `books_${++databases}` };
  await queryPostgres(connection, `CREATE DATABASE ${own.database}`);
  return { configIn: () => ({ kind: "postgres", url: urlOf(own) }), query: (_dataDir, sql) => queryPostgres(own, sql) };
}

/** What every claim about a relay's books is made of. */
export const DATABASES: Readonly<Record<string, () => Promise<TestDatabase>>> = {
  SQLite: async () => SQLITE,
  ...(postgresIsDue() ? { PostgreSQL: newPostgres } : {}),
};
