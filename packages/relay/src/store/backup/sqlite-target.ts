/** A new SQLite database, made beside its place and renamed to it in the end. */
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { walkAudit } from "../tables/audit-walk.ts";
import { auditLedger } from "../ledger/audit.ts";
import { migrateSqlite } from "../sqlite/migrate.ts";
import type { SqlValue } from "../sql/sql.ts";
import { SqliteRunner } from "../sqlite/runner.ts";
import { syncDirectory, syncFile } from "../disk.ts";
import { layoutOf } from "./layout.ts";
import type { TableLayout } from "./layout.ts";
import type { Findings, RestoreTarget } from "./target.ts";

/** @throws with a sentence when there is a database already. */
export function openSqliteTarget(path: string): RestoreTarget {
  for (const each of [path, `${path}-wal`, `${path}-shm`])
    if (existsSync(each)) throw new Error(`${each} exists: restore into an empty directory, say which with --data, or move it away`);
  return new SqliteTarget(path);
}

/** There was no file of that name when the restore began, and nobody opens it before the restore is done. */
export function isKeptBySqlite(path: string): boolean {
  return existsSync(path) && !existsSync(partialOf(path));
}

/** What it is called until it is kept. */
function partialOf(path: string): string {
  return `${path}.restoring`;
}

class SqliteTarget implements RestoreTarget {
  readonly dialect = "sqlite";
  readonly name: string;
  readonly #partial: string;
  readonly #database: DatabaseSync;
  readonly #inserts = new Map<string, StatementSync>();

  constructor(path: string) {
    this.name = path;
    this.#partial = partialOf(path);
    rmSync(this.#partial, { force: true });
    this.#database = new DatabaseSync(this.#partial, { timeout: 5_000 });
    // Nobody sees the file before it is whole and synced: until then there is nothing to roll back to.
    this.#database.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -65536");
  }

  async begin(version: number): Promise<void> {
    migrateSqlite(this.#database, version);
    // References are looked at in the end, all at once.
    this.#database.exec("PRAGMA foreign_keys = OFF; BEGIN");
    // Steps make rows of their own, which the backup has too.
    for (const { name } of layoutOf("sqlite", version).toReversed()) this.#database.exec(`DELETE FROM ${name}`);
  }

  async insert(table: TableLayout, rows: readonly (readonly SqlValue[])[]): Promise<void> {
    let statement = this.#inserts.get(table.name);
    if (statement === undefined) {
      const names = table.columns.map((column) => column.name);
      statement = this.#database.prepare(`INSERT INTO ${table.name} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`);
      this.#inserts.set(table.name, statement);
    }
    for (const row of rows) statement.run(...row);
  }

  async finish(): Promise<Findings> {
    this.#inserts.clear();
    this.#database.exec("COMMIT");
    migrateSqlite(this.#database);
    const broken = this.#database.prepare("PRAGMA foreign_key_check").all();
    if (broken.length > 0) throw new Error(`${broken.length} rows refer to rows that are not there`);
    const runner = new SqliteRunner(this.#database);
    return { breaches: runner.run(auditLedger()), chain: runner.run(walkAudit()) };
  }

  async keep(): Promise<void> {
    this.#database.close();
    syncFile(this.#partial);
    renameSync(this.#partial, this.name);
    syncDirectory(dirname(this.name));
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
    rmSync(this.#partial, { force: true });
  }
}
