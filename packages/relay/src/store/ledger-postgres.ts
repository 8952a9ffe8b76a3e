/** The ledger in PostgreSQL, over one connection: batches are made in the queue, so more would only wait for each other's locks. */
import pg from "pg";
import type { Operation, Result } from "../ledger/operation.ts";
import { auditLedger } from "./ledger-audit.ts";
import type { Breach } from "./ledger-audit.ts";
import { commitBatch } from "./ledger-commit.ts";
import type { Seat } from "./ledger-commit.ts";
import type { Answer, Sql, SqlValue, Statement } from "./sql.ts";

/** A batch whose outcome is unknown is asked again for so long. */
const RETRY_FOR_MS = 2_000;
const RETRY_PAUSE_MS = 50;
const CONNECT_WITHIN_MS = 2_000;
const STATEMENT_WITHIN_MS = 5_000;
const INT8 = 20;

/**
 * Ledger statements find rows by key: a plan made while the tables were empty must not read them whole for ever, and
 * compiling one costs more than running it. A relay
 * that vanished in the middle of a batch must not keep its locks.
 */
const SESSION = `SET enable_seqscan = off; SET jit = off; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '5s'; SET statement_timeout = '5s'`;

/** Reads BIGINT as bigint; the driver's own way is text. */
export const BIGINT_TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: "text" | "binary") => (oid === INT8 ? BigInt : pg.types.getTypeParser(oid, format)),
};

export interface PostgresSettings {
  readonly connection: pg.ClientConfig;
  /** Replaces the database's clock in tests. */
  readonly now?: () => number;
  /** `power` refuses a server that may forget what it has committed. */
  readonly durability?: "process" | "power";
  /** Told about trouble that no caller hears of. */
  readonly onTrouble?: (message: string) => void;
}

/** The server is set so that a power cut may undo what was answered. */
class NotDurable extends Error {}

export class PostgresLedger {
  readonly #settings: PostgresSettings;
  #session: Session | null = null;

  constructor(settings: PostgresSettings) {
    this.#settings = settings;
  }

  /**
   * Commits a batch and answers in its order; one call at a time. When the connection breaks the same operations are asked
   * again on a new one: what had been done is then found, by its ids, and answered as at first.
   */
  async commit(seat: Seat, operations: readonly Operation[]): Promise<Result[]> {
    const deadline = performance.now() + RETRY_FOR_MS;
    let wasSent = false;
    for (;;) {
      try {
        const session = await this.#connected();
        wasSent = true;
        return await session.run(commitBatch({ dialect: "postgres", now: this.#settings.now ?? null }, seat, operations));
      } catch (error) {
        await this.#drop();
        const reason = error instanceof Error ? error.message : String(error);
        this.#settings.onTrouble?.(`the ledger's connection failed: ${reason}`);
        if (error instanceof NotDurable || performance.now() > deadline) return operations.map(() => unavailable(reason, wasSent));
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
    }
  }

  /** What is wrong in the books; see `ledger-audit.ts`. */
  async audit(): Promise<Breach[]> {
    return await this.read(auditLedger());
  }

  /** Runs reads outside of a transaction, such as those of `ledger-read.ts`; not while a batch commits. */
  async read<T>(sql: Sql<T>): Promise<T> {
    const session = await this.#connected();
    return await session.run(sql);
  }

  async close(): Promise<void> {
    await this.#drop();
  }

  async #connected(): Promise<Session> {
    this.#session ??= await Session.open(this.#settings);
    return this.#session;
  }

  async #drop(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }
}

function unavailable(reason: string, wasSent: boolean): Result {
  return { ok: false, code: "store_unavailable", reason, ...(wasSent ? { isUnknown: true } : {}) };
}

/** One connection and the statements that it knows. */
class Session {
  readonly #client: pg.Client;
  readonly #named = new Map<string, { readonly name: string; readonly text: string }>();

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open(settings: PostgresSettings): Promise<Session> {
    const client = new pg.Client({
      connectionTimeoutMillis: CONNECT_WITHIN_MS,
      query_timeout: STATEMENT_WITHIN_MS + 1_000,
      keepAlive: true,
      ...settings.connection,
      types: BIGINT_TYPES,
    });
    // Without a listener a connection that breaks while idle would end the process; the next statement reports it.
    client.on("error", () => undefined);
    await client.connect();
    const session = new Session(client);
    try {
      await client.query(SESSION);
      if (settings.durability === "power") await session.#assertDurable();
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async #assertDurable(): Promise<void> {
    for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
      const { rows } = await this.#client.query<Record<string, string>>(`SHOW ${name}`);
      if (rows[0]?.[name] === "off") throw new NotDurable(`durability "power" needs ${name} = on`);
    }
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

  async close(): Promise<void> {
    // A peer that does not answer must not hold the caller up.
    await Promise.race([this.#client.end().catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 500).unref())]);
  }

  async #execute(statement: Statement): Promise<Answer> {
    if (statement.kind === "read") return await this.#query(statement.sql, statement.params);
    if (statement.kind === "write") return await this.#query(statement.sql, columnArrays(statement.rows, statement.types.length));
    await this.#client.query(statement.kind.toUpperCase());
    return { rows: [], count: 0 };
  }

  async #query(sql: string, values: readonly unknown[]): Promise<Answer> {
    const result = await this.#client.query<Record<string, unknown>>({ ...this.#prepare(sql), values: values as unknown[] });
    return { rows: result.rows, count: result.rowCount ?? 0 };
  }

  #prepare(sql: string): { readonly name: string; readonly text: string } {
    const known = this.#named.get(sql);
    if (known !== undefined) return known;
    let count = 0;
    const statement = { name: `ledger_${this.#named.size}`, text: sql.replaceAll("?", () => `$${++count}`) };
    this.#named.set(sql, statement);
    return statement;
  }
}

function columnArrays(rows: readonly (readonly SqlValue[])[], width: number): SqlValue[][] {
  return Array.from({ length: width }, (_, at) => rows.map((row) => row[at] ?? null));
}
