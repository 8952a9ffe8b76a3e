/** Runs statements on an open SQLite database, at once. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NO_ROWS, textIn } from "../sql/sql.ts";
import type { Answer, Sql, SqlText, SqlValue, Statement } from "../sql/sql.ts";

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
        return NO_ROWS;
      case "commit":
        this.#prepare("COMMIT").run();
        return NO_ROWS;
      case "rollback":
        // Some errors have rolled back already.
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
        return NO_ROWS;
      case "read":
        return this.#read(statement.sql, statement.params);
      case "write":
        return this.#write(statement.sql, statement.rows);
    }
  }

  #read(sql: SqlText, params: readonly (SqlValue | readonly string[])[]): Answer {
    const text = textIn(sql, "sqlite");
    return text === null ? NO_ROWS : { rows: this.#prepare(text).all(...params.map(asParam)), count: 0 };
  }

  #write(sql: SqlText, rows: readonly (readonly SqlValue[])[]): Answer {
    const text = textIn(sql, "sqlite");
    if (text === null) return NO_ROWS;
    const prepared = this.#prepare(text);
    let count = 0;
    for (const row of rows) count += Number(prepared.run(...row).changes);
    return { rows: [], count };
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

/** A list goes as JSON, see `SqlDialect.among`. */
function asParam(param: SqlValue | readonly string[]): SqlValue {
  return Array.isArray(param) ? JSON.stringify(param) : (param as SqlValue);
}
