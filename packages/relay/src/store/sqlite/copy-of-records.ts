/** Accounts and keys of an older program's database, in this program's shape. */
import { DatabaseSync } from "node:sqlite";
import { migrateSqlite } from "./migrate.ts";

/** What `records` of `store/queries` reads; all other tables stay empty. */
const RECORDS: ReadonlySet<string> = new Set(["accounts", "keys", "control_version"]);

/** @returns a database in memory, brought forward; the given one is only read. */
export function copyOfRecords(from: DatabaseSync): DatabaseSync {
  const to = new DatabaseSync(":memory:", { enableForeignKeyConstraints: false });
  const made = from.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").all();
  const tables = made.filter((each) => each["type"] === "table");
  for (const { sql } of tables) to.exec(String(sql));
  for (const { name } of tables) if (RECORDS.has(String(name))) copyTable(from, to, String(name));
  // Triggers watch what is written, and this was written before.
  for (const { type, sql } of made) if (type !== "table") to.exec(String(sql));
  to.exec(`PRAGMA user_version = ${Number(from.prepare("PRAGMA user_version").get()?.["user_version"])}`);
  migrateSqlite(to);
  return to;
}

function copyTable(from: DatabaseSync, to: DatabaseSync, name: string): void {
  const read = from.prepare(`SELECT * FROM ${name}`);
  read.setReadBigInts(true);
  const columns = read.columns().length;
  const write = to.prepare(`INSERT INTO ${name} VALUES (${Array.from({ length: columns }, () => "?").join(", ")})`);
  for (const row of read.iterate()) write.run(...Object.values(row));
}
