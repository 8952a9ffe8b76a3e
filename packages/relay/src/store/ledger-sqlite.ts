/** The ledger in an open SQLite database, for the thread that writes it. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Operation, Result } from "../ledger/operation.ts";
import { auditLedger } from "./ledger-audit.ts";
import type { Breach } from "./ledger-audit.ts";
import { commitBatch } from "./ledger-commit.ts";
import type { Seat } from "./ledger-commit.ts";
import type { Answer, Sql, Statement } from "./sql.ts";

const NOTHING: Answer = { rows: [], count: 0 };

export class SqliteLedger {
  readonly #database: DatabaseSync;
  readonly #now: (() => number) | null;
  readonly #prepared = new Map<string, StatementSync>();

  /** The database must have the ledger's schema. `now` replaces the clock in tests. */
  constructor(database: DatabaseSync, now: (() => number) | null = null) {
    this.#database = database;
    this.#now = now;
  }

  /** Commits a batch and answers in its order. */
  commit(seat: Seat, operations: readonly Operation[]): Result[] {
    return this.#run(commitBatch({ dialect: "sqlite", now: this.#now }, seat, operations));
  }

  /** What is wrong in the books; see `ledger-audit.ts`. */
  audit(): Breach[] {
    return this.read(auditLedger());
  }

  /** Runs reads outside of a transaction, such as those of `ledger-read.ts`. */
  read<T>(sql: Sql<T>): T {
    return this.#run(sql);
  }

  #run<T>(sql: Sql<T>): T {
    let step = sql.next();
    while (step.done !== true) {
      let answer: Answer | null = null;
      let failure: unknown;
      try {
        answer = this.#execute(step.value);
      } catch (error) {
        failure = error;
      }
      step = answer === null ? sql.throw(failure) : sql.next(answer);
    }
    return step.value;
  }

  #execute(statement: Statement): Answer {
    switch (statement.kind) {
      case "begin":
        this.#database.exec("BEGIN IMMEDIATE");
        return NOTHING;
      case "commit":
        this.#database.exec("COMMIT");
        return NOTHING;
      case "rollback":
        // Some errors have rolled back already.
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
        return NOTHING;
      case "read": {
        const params = statement.params.map((param) => (Array.isArray(param) ? JSON.stringify(param) : param)) as (
          | string
          | bigint
          | null
        )[];
        return { rows: this.#prepare(statement.sql).all(...params), count: 0 };
      }
      case "write": {
        const prepared = this.#prepare(statement.sql);
        let count = 0;
        for (const row of statement.rows) count += Number(prepared.run(...row).changes);
        return { rows: [], count };
      }
    }
  }

  #prepare(sql: string): StatementSync {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const prepared = this.#database.prepare(sql);
    prepared.setReadBigInts(true);
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}
