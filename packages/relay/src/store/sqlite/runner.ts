/** Runs statements on an open SQLite database, at once. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Answer, Sql, SqlValue, Statement } from "../sql/sql.ts";

const NOTHING: Answer = { rows: [], count: 0 };

export class SqliteRunner {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  run<T>(sql: Sql<T>): T {
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
        this.#prepare("BEGIN IMMEDIATE").run();
        return NOTHING;
      case "commit":
        this.#prepare("COMMIT").run();
        return NOTHING;
      case "rollback":
        // Some errors have rolled back already.
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
        return NOTHING;
      case "read":
        return { rows: this.#prepare(statement.sql).all(...statement.params.map(asParam)), count: 0 };
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

/** A list goes as JSON, see `among`. */
function asParam(param: SqlValue | readonly string[]): SqlValue {
  return Array.isArray(param) ? JSON.stringify(param) : (param as SqlValue);
}
