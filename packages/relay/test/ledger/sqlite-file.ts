import { DatabaseSync } from "node:sqlite";
import { migrateSqlite } from "../../src/store/sqlite/migrate.ts";

/** A database file with this program's tables in it, as the relay's writer thread opens it. */
export function openSqlite(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5_000 });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
  migrateSqlite(database);
  return database;
}
