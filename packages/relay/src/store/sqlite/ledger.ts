/** The ledger in an open SQLite database, for the thread that writes it. */
import type { DatabaseSync } from "node:sqlite";
import type { FencingToken, UnitOutcome } from "../../ledger/unit.ts";
import { auditLedger } from "../ledger/audit.ts";
import type { Breach } from "../ledger/audit.ts";
import { commitUnits } from "../ledger/commit.ts";
import type { CommitUnit } from "../ledger/commit.ts";
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

  /** Commits units and answers in their order. */
  commit(token: FencingToken, units: readonly CommitUnit[]): UnitOutcome[] {
    return this.#runner.run(commitUnits({ now: this.#now }, token, units));
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
