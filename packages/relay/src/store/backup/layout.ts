/**
 * The tables that a database of a version has, asked of SQLite itself after running the steps up to that version: a table
 * that a step adds cannot be forgotten in a backup.
 */
import { DatabaseSync } from "node:sqlite";
import { migrateSqlite } from "../sqlite/migrate.ts";
import { versionIn } from "../schema/schema.ts";
import type { Column, Dialect, SqlType } from "../sql/dialect.ts";

export interface TableLayout {
  readonly name: string;
  readonly columns: readonly Column[];
}

const TYPES: Readonly<Record<string, SqlType>> = { TEXT: "text", INTEGER: "bigint", REAL: "double precision", BLOB: "bytea" };

/** Tables come after those that they refer to. Both kinds of database have the same, at version numbers of their own. */
export function layoutOf(dialect: Dialect, version: number): readonly TableLayout[] {
  const database = new DatabaseSync(":memory:");
  try {
    migrateSqlite(database, versionIn("sqlite", dialect, version));
    const names = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").all();
    const ordered = new Set<string>();
    for (const { name } of names) addInOrder(database, String(name), ordered);
    return [...ordered].map((name) => ({ name, columns: columnsIn(database, name) }));
  } finally {
    database.close();
  }
}

function addInOrder(database: DatabaseSync, name: string, ordered: Set<string>): void {
  if (ordered.has(name)) return;
  const parents = database.prepare('SELECT "table" AS name FROM pragma_foreign_key_list(?) ORDER BY id').all(name);
  for (const parent of parents) if (parent["name"] !== name) addInOrder(database, String(parent["name"]), ordered);
  ordered.add(name);
}

/** Columns that hold something: those that are computed from others are told by no `table_info`, and nobody may write them. */
function columnsIn(database: DatabaseSync, table: string): Column[] {
  const columns = database.prepare("SELECT name, type FROM pragma_table_info(?) ORDER BY cid").all(table);
  return columns.map(({ name, type }) => {
    const known = TYPES[String(type)];
    if (known === undefined) throw new Error(`${table}.${String(name)} has the type ${String(type)}, which no backup knows`);
    return { name: String(name), type: known };
  });
}
