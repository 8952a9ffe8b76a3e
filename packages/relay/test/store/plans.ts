/** Databases that say how they would go about a question. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FOR_READING, Session } from "../../src/store/postgres/session.ts";
import { read, textIn } from "../../src/store/sql/sql.ts";
import type { Dialect } from "../../src/store/sql/dialect.ts";
import type { Sql } from "../../src/store/sql/sql.ts";
import { SqliteRunner } from "../../src/store/sqlite/runner.ts";
import { openSqlite } from "../ledger/sqlite-file.ts";
import { newPostgresSchema } from "../ledger/stores.ts";
import { postgresIsDue } from "../support/postgres.ts";

export interface Place {
  readonly dialect: Dialect;
  run<T>(make: () => Sql<T>): Promise<T>;
  /** From now on it is read as the relay reads it, with the statistics that the server keeps by itself. */
  settle(...tables: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** Each empty, with the tables of this program. */
export const PLACES: Readonly<Partial<Record<Dialect, () => Promise<Place>>>> = {
  sqlite: async () => {
    const directory = mkdtempSync(join(tmpdir(), "millrace-plans-"));
    const database = openSqlite(join(directory, "millrace.db"));
    const runner = new SqliteRunner(database);
    return {
      dialect: "sqlite",
      run: async (make) => runner.run(make()),
      settle: () => Promise.resolve(),
      close: async () => {
        database.close();
        rmSync(directory, { recursive: true });
      },
    };
  },
  ...(postgresIsDue() ? { postgres: postgresPlace } : {}),
};

async function postgresPlace(): Promise<Place> {
  const connection = await newPostgresSchema();
  const writing = await Session.open(connection, "");
  let reading: Session | null = null;
  return {
    dialect: "postgres",
    run: async (make) => (reading ?? writing).run(make()),
    settle: async (...tables) => {
      for (const table of tables) await writing.execute(`ANALYZE ${table}`);
      reading = await Session.open(connection, FOR_READING);
    },
    close: async () => {
      await writing.close();
      await reading?.close();
    },
  };
}

/** The plan of a question that is one read, a line for each step. */
export async function planOf(place: Place, question: Sql<unknown>): Promise<string> {
  const step = question.next();
  if (step.done === true || step.value.kind !== "read") throw new Error("it is no read");
  const { sql, params } = step.value;
  const explain = place.dialect === "sqlite" ? "EXPLAIN QUERY PLAN" : "EXPLAIN (COSTS OFF)";
  const rows = await place.run(() => read(`${explain} ${textIn(sql, place.dialect) ?? ""}`, params));
  return rows.map((each) => String(each["detail"] ?? each["QUERY PLAN"])).join("\n");
}
