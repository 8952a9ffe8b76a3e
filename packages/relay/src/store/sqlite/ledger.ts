/** The ledger in an open SQLite database, for the thread that writes it. */
import type { DatabaseSync } from "node:sqlite";
import type { Operation, Result } from "../../ledger/operation.ts";
import { auditLedger } from "../ledger/audit.ts";
import type { Breach } from "../ledger/audit.ts";
import { commitBatch } from "../ledger/commit.ts";
import type { AttachedWrites, FencingToken } from "../ledger/commit.ts";
import type { Sql } from "../sql/sql.ts";
import { SqliteRunner } from "./runner.ts";

export class SqliteLedger {
  readonly #runner: SqliteRunner;
  readonly #now: (() => number) | null;

  /** The database must have this program's schema. `now` replaces the clock in tests. */
  constructor(database: DatabaseSync, now: (() => number) | null = null, runner: SqliteRunner = new SqliteRunner(database)) {
    this.#runner = runner;
    this.#now = now;
  }

  /** Commits a batch and answers in its order. */
  commit(seat: FencingToken, operations: readonly Operation[], attachedWrites: AttachedWrites = []): Result[] {
    return this.#runner.run(commitBatch({ now: this.#now }, seat, operations, attachedWrites));
  }

  /** What is wrong in the books; see `ledger/audit.ts`. */
  audit(): Breach[] {
    return this.read(auditLedger());
  }

  /** Runs reads outside of a transaction, such as those of `ledger/read.ts`. */
  read<T>(sql: Sql<T>): T {
    return this.#runner.run(sql);
  }
}
