/** One connection to PostgreSQL that runs statements as data, and the statements it knows. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { NO_ROWS, textIn } from "../sql/sql.ts";
import type { Answer, Sql, SqlText, SqlValue, Statement } from "../sql/sql.ts";

const CONNECT_WITHIN_MS = 2_000;
/** What the driver waits for one statement. After it the connection is given up, and nobody knows what became of the statement. */
const ANSWER_WITHIN_MS = 3_000;
const CLOSE_WITHIN_MS = 500;
const INT8 = 20;

/** Reads BIGINT as bigint; the driver's own way is text. */
export const BIGINT_TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: "text" | "binary") => (oid === INT8 ? BigInt : pg.types.getTypeParser(oid, format)),
};

/**
 * For transactions. The server gives a statement up before the driver does (see {@link ANSWER_WITHIN_MS}): then the outcome
 * is known. Their statements find rows by key: a plan made while the tables were empty must not read them whole
 * for ever, and compiling one costs more than running it. A relay that vanished in the middle must not keep its locks.
 */
export const FOR_WRITING =
  "SET enable_seqscan = off; SET jit = off; SET lock_timeout = '1s'; SET idle_in_transaction_session_timeout = '5s'; SET statement_timeout = '2500ms'";

const READ_ONLY = "SET jit = off; SET default_transaction_read_only = on";
/** For summaries, which may take their time. */
export const FOR_READING = `${READ_ONLY}; SET statement_timeout = '20s'`;
/** For what is found by its key while a request waits. */
export const FOR_LOOKING_UP = `${READ_ONLY}; SET statement_timeout = '2500ms'`;

/** The server is set so that a power cut may undo what was answered. */
export class NotDurable extends Error {}

export class Session {
  readonly #client: pg.Client;
  readonly #named = new Map<string, { readonly name: string; readonly text: string }>();

  #isBroken = false;

  private constructor(client: pg.Client) {
    this.#client = client;
    // Without a listener a connection that breaks while idle would end the process.
    client.on("error", () => (this.#isBroken = true));
    client.on("end", () => (this.#isBroken = true));
  }

  /** The server has ended the connection: nothing that is asked now would be sent. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** @param setUp statements that make the session what it is for. @param answerMs deadline of each statement. */
  static async open(connection: pg.ClientConfig, setUp: string, answerMs: number = ANSWER_WITHIN_MS): Promise<Session> {
    const client = new pg.Client({
      connectionTimeoutMillis: CONNECT_WITHIN_MS,
      query_timeout: answerMs,
      keepAlive: true,
      ...connection,
      types: BIGINT_TYPES,
    });
    const session = new Session(client);
    await client.connect();
    try {
      if (setUp !== "") await client.query(setUp);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** @throws {NotDurable} when the server may forget what it has committed. */
  async assertDurable(): Promise<void> {
    for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
      const { rows } = await this.#client.query<Record<string, string>>(`SHOW ${name}`);
      if (rows[0]?.[name] === "off") throw new NotDurable(`durability "power" needs ${name} = on`);
    }
  }

  /** Runs text that may be several statements. */
  async execute(text: string): Promise<void> {
    await this.#client.query(text);
  }

  async run<T>(sql: Sql<T>): Promise<T> {
    let step = sql.next();
    while (step.done !== true) {
      let answer: Answer | null = null;
      let failure: unknown;
      try {
        answer = await this.#execute(step.value);
      } catch (error) {
        failure = error;
      }
      step = answer === null ? sql.throw(failure) : sql.next(answer);
    }
    return step.value;
  }

  /** Drops the connection without a word: a server that is silent would not hear a farewell. */
  destroy(): void {
    this.#isBroken = true;
    this.#client.connection.stream.destroy();
  }

  async close(): Promise<void> {
    if (this.#isBroken) return this.destroy();
    // A peer that does not answer must not hold the caller up.
    await Promise.race([this.#client.end().catch(() => undefined), sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
  }

  async #execute(statement: Statement): Promise<Answer> {
    if (statement.kind === "read") return await this.#query(statement.sql, statement.params);
    if (statement.kind === "write") return await this.#query(statement.sql, columnArrays(statement.rows, statement.types.length));
    await this.#client.query(statement.kind.toUpperCase());
    return NO_ROWS;
  }

  async #query(text: SqlText, values: readonly unknown[]): Promise<Answer> {
    const sql = textIn(text, "postgres");
    if (sql === null) return NO_ROWS;
    const result = await this.#client.query<Record<string, unknown>>({ ...this.#prepare(sql), values: values as unknown[] });
    return { rows: result.rows, count: result.rowCount ?? 0 };
  }

  #prepare(sql: string): { readonly name: string; readonly text: string } {
    const known = this.#named.get(sql);
    if (known !== undefined) return known;
    let count = 0;
    const statement = { name: `millrace_${this.#named.size}`, text: sql.replaceAll("?", () => `$${++count}`) };
    this.#named.set(sql, statement);
    return statement;
  }
}

function columnArrays(rows: readonly (readonly SqlValue[])[], width: number): SqlValue[][] {
  return Array.from({ length: width }, (_, at) => rows.map((row) => row[at] ?? null));
}
