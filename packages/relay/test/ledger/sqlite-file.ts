import { DatabaseSync } from "node:sqlite";
import { ledgerSchema } from "../../src/store/ledger-schema.ts";

/** A database file with the ledger in it, as the relay's writer thread opens it. */
export function openSqlite(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 5_000 });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
  const found = database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'wallets'").get();
  if (Number(found?.["n"]) === 0) database.exec(`BEGIN; ${ledgerSchema("sqlite")} COMMIT`);
  return database;
}
