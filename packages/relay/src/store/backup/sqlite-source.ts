/** A SQLite database as a backup reads it, beside a relay that may be writing it: a read transaction sees one state. */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { versionFault } from "../schema/schema.ts";
import type { SqlValue } from "../sql/sql.ts";
import type { Head } from "./format.ts";
import { layoutOf } from "./layout.ts";
import type { TableLayout } from "./layout.ts";
import { ROWS_AT_ONCE } from "./source.ts";
import type { BackupSource } from "./source.ts";

/** @throws with a sentence when there is no such database, or it is of a newer program. */
export function openSqliteSource(path: string): BackupSource {
  if (!existsSync(path)) throw new Error(`there is no database at ${path}: say with --data or --config where it is`);
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
  try {
    database.exec("BEGIN");
    const head = headIn(database, path);
    return {
      head,
      rows: (table) => rowsIn(database, table),
      close: async () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

function headIn(database: DatabaseSync, path: string): Head {
  const count = (sql: string): number => Number(Object.values(database.prepare(sql).get() ?? {})[0]);
  // The first read decides which state the transaction sees.
  const schema = count("PRAGMA user_version");
  const fault = versionFault("sqlite", schema);
  if (fault !== null) throw new Error(fault);
  if (schema === 0) throw new Error(`${path} is no database of Millrace`);
  const tables = layoutOf("sqlite", schema).map((table) => ({ ...table, rows: count(`SELECT count(*) FROM ${table.name}`) }));
  const hasHolds = tables.some((table) => table.name === "holds");
  const openHolds = hasHolds ? count("SELECT count(*) FROM holds WHERE state = 'open'") : 0;
  return { madeAt: Date.now(), dialect: "sqlite", schema, openHolds, tables };
}

async function* rowsIn(database: DatabaseSync, { name, columns }: TableLayout): AsyncGenerator<SqlValue[][]> {
  const statement = database.prepare(`SELECT ${columns.map((column) => column.name).join(", ")} FROM ${name}`);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  let rows: SqlValue[][] = [];
  for (const row of statement.iterate()) {
    rows.push(row as unknown as SqlValue[]);
    if (rows.length < ROWS_AT_ONCE) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}
