/**
 * The store in PostgreSQL, for one relay or several. Four connections: one for the ledger, one for other writes, one for
 * queries, and one that watches for what other relays changed.
 */
import type pg from "pg";
import type { Account } from "../admission/accounts.ts";
import type { KeyRecord } from "../admission/keys.ts";
import type { Operation, Result } from "../ledger/operation.ts";
import type { Riders, Seat } from "./ledger-commit.ts";
import { PostgresLedger } from "./ledger-postgres.ts";
import { migratePostgres } from "./migrate-postgres.ts";
import { FOR_READING, FOR_WRITING, Line } from "./postgres-session.ts";
import { queryOf } from "./queries.ts";
import type { ControlRecords, QueryAnswer, QueryArgs, QueryName } from "./queries.ts";
import { writeOrThrow } from "./store.ts";
import type { Store } from "./store.ts";
import { WriteQueue } from "./write-queue.ts";
import { commitWrites } from "./writes.ts";
import type { Write, WriteOutcome } from "./writes.ts";

/** A server may start after the relay does. */
const OPEN_WITHIN_MS = 30_000;
const OPEN_PAUSE_MS = 500;
/** A revoked key is known everywhere within a second. */
const WATCH_EVERY_MS = 400;
const WATCH_WITHIN_MS = 2_000;
const QUERY_WITHIN_MS = 25_000;
const CLOSE_WITHIN_MS = 10_000;

export interface PostgresStoreSettings {
  readonly connection: pg.ClientConfig;
  readonly durability: "process" | "power";
  /** See {@link PostgresLedger}. */
  readonly name?: string;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export class PostgresStore implements Store {
  readonly dialect = "postgres";
  readonly #settings: PostgresStoreSettings;
  readonly #ledger: PostgresLedger;
  readonly #writes: Line;
  readonly #reads: Line;
  readonly #watch: Line;
  readonly #queue: WriteQueue;
  #trouble: string | null = null;
  #isClosed = false;
  #watching: Promise<void> | null = null;
  #wake: () => void = () => undefined;
  /** Who waits for the next look at what others changed. */
  #asked: (() => void)[] = [];

  private constructor(settings: PostgresStoreSettings) {
    const { connection, durability, name } = settings;
    const mustBeDurable = durability === "power";
    this.#settings = settings;
    this.#ledger = new PostgresLedger({
      connection,
      durability,
      ...(name === undefined ? {} : { name }),
      onTrouble: (message) => this.#fail(message),
      trouble: () => this.#trouble,
    });
    this.#writes = new Line(connection, { setUp: FOR_WRITING, mustBeDurable });
    this.#reads = new Line(connection, { setUp: FOR_READING, answerMs: QUERY_WITHIN_MS });
    this.#watch = new Line(connection, { setUp: "SET statement_timeout = '2s'", answerMs: WATCH_WITHIN_MS });
    this.#queue = new WriteQueue((units) => this.#commitWrites(units));
  }

  /**
   * Connects and migrates.
   * @throws when the server does not answer within half a minute, or the database is of a newer program.
   */
  static async open(settings: PostgresStoreSettings): Promise<PostgresStore> {
    const deadline = Date.now() + OPEN_WITHIN_MS;
    for (;;) {
      try {
        await migratePostgres(settings.connection);
        return new PostgresStore(settings);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (!isUnreachable(error)) throw error;
        if (Date.now() > deadline) throw new Error(`PostgreSQL does not answer (${message}): is it running, and is the address right?`);
        settings.onTrouble(`PostgreSQL does not answer yet: ${message}`);
      }
      await new Promise((resolve) => setTimeout(resolve, OPEN_PAUSE_MS));
    }
  }

  /** @throws {NameTaken} when another process has this relay's name. */
  takeName(): Promise<void> {
    return this.#ledger.takeName();
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  get hasRoom(): boolean {
    return this.#queue.hasRoom;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  commit(seat: Seat, operations: readonly Operation[], riders: Riders = []): Promise<Result[]> {
    return this.#ledger.commit(seat, operations, riders);
  }

  write(writes: readonly Write[]): Promise<WriteOutcome> {
    return this.#queue.add(writes);
  }

  async #commitWrites(units: readonly (readonly Write[])[]): Promise<readonly WriteOutcome[]> {
    try {
      return await this.#writes.run(() => commitWrites("postgres", units));
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>> {
    return this.#reads.run(() => queryOf("postgres", name, args));
  }

  /** Calls back with what is changed after `since`, by any relay, within a second. */
  watch(since: number, onRecords: (records: ControlRecords) => void): void {
    this.#watching ??= this.#watchOn(since, onRecords);
  }

  async #watchOn(since: number, onRecords: (records: ControlRecords) => void): Promise<void> {
    let seen = since;
    while (!this.#isClosed) {
      const asked = this.#asked.splice(0);
      try {
        const from = seen;
        const records = await this.#watch.run(() => queryOf("postgres", "records", { since: from }));
        if (records.version !== seen) onRecords(records);
        seen = records.version;
        if (this.#trouble !== null) this.#settings.onTrouble("PostgreSQL answers again");
        this.#trouble = null;
      } catch (error) {
        this.#fail(error instanceof Error ? error.message : String(error));
      }
      for (const tell of asked) tell();
      if (this.#asked.length > 0) continue;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, WATCH_EVERY_MS).unref();
      });
    }
    for (const tell of this.#asked.splice(0)) tell();
  }

  /** One look at a time: two that overtake each other could leave an older record in place of a newer one. */
  fresh(): Promise<void> {
    if (this.#watching === null || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#wake();
    });
  }

  #fail(reason: string): void {
    if (this.#trouble === null && !this.#isClosed) this.#settings.onTrouble(`PostgreSQL does not answer: ${reason}`);
    this.#trouble = `PostgreSQL does not answer: ${reason}`;
  }

  insert(key: KeyRecord): Promise<void> {
    return writeOrThrow(this, [{ kind: "key", key, isUpdate: false }]);
  }

  update(key: KeyRecord): Promise<void> {
    return writeOrThrow(this, [{ kind: "key", key, isUpdate: true }]);
  }

  insertAccount(account: Account): Promise<void> {
    return writeOrThrow(this, [{ kind: "account", account, isUpdate: false }]);
  }

  async close(): Promise<void> {
    const deadline = Date.now() + CLOSE_WITHIN_MS;
    while (this.waiting > 0 && this.#trouble === null && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
    this.#isClosed = true;
    this.#wake();
    this.#queue.close("the store is closed");
    await Promise.all([this.#ledger.close(), this.#writes.close(), this.#reads.close(), this.#watch.close()]);
    await this.#watching;
  }
}

/** Nobody answered, or not yet; anything else will not change by waiting. */
function isUnreachable(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === "57P03" || code === "53300") return true;
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return code !== "EACCES";
  return error instanceof AggregateError || (error instanceof Error && /timeout|terminated|closed the connection/i.test(error.message));
}
