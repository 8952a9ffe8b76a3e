/**
 * The store in PostgreSQL, for one relay or several. Four connections: one for all that is committed, one for what requests look
 * up, one for summaries, and one that watches for what other relays changed and whether the server answers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { errorText } from "../../basics/error-text.ts";
import type { FencingToken, UnitOutcome } from "../../ledger/unit.ts";
import type { Database } from "../database.ts";
import type { CommitUnit } from "../ledger/commit.ts";
import { PostgresLedger } from "./ledger.ts";
import { migratePostgres } from "./migrate.ts";
import { BoundedQueries } from "./bounded-queries.ts";
import { ReconnectingSession } from "./reconnecting-session.ts";
import { FOR_LOOKING_UP, FOR_READING } from "./session.ts";
import { queryOf } from "../queries/queries.ts";
import type { ControlRecords, QueryAnswer, QueryArgs, QueryName } from "../queries/queries.ts";
import { mayAnswerLater } from "../sql/errors.ts";
import { read } from "../sql/sql.ts";

/** A server may start after the relay does. */
const OPEN_WITHIN_MS = 30_000;
const OPEN_PAUSE_MS = 500;
/** A revoked key is known everywhere within a second. */
const WATCH_EVERY_MS = 400;
/** A server that is silent for longer is in trouble: then nobody waits for it. */
const WATCH_WITHIN_MS = 1_500;
const SUMMARY_WITHIN_MS = 25_000;
const SUMMARIES_MAX = 50;
/** A request waits for it: an answer of the server takes at most 2.5 s, so this is time in line. */
const LOOKUP_WITHIN_MS = 3_000;
const LOOKUPS_MAX = 1_000;
/** What is found by its key: requests, log-ins and the sweeper do not wait behind a summary. */
const LOOKUPS: ReadonlySet<QueryName> = new Set([
  "request",
  "requestDetail",
  "member",
  "accountClash",
  "given",
  "expiredAccounts",
  "deadNodes",
]);

export interface PostgresStoreSettings {
  readonly connection: pg.ClientConfig;
  readonly durability: "process" | "power";
  /** See {@link PostgresLedger}. */
  readonly name?: string;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export class PostgresStore implements Database {
  readonly isShared = true;
  readonly #settings: PostgresStoreSettings;
  readonly #ledger: PostgresLedger;
  readonly #lookups: BoundedQueries;
  readonly #summaries: BoundedQueries;
  readonly #watch: ReconnectingSession;
  #trouble: string | null = null;
  #isClosed = false;
  #watching: Promise<void> = Promise.resolve();
  #watcher: Watcher | null = null;
  #wake: () => void = () => undefined;
  /** Who waits for the next look at what others changed. */
  #asked: (() => void)[] = [];

  private constructor(settings: PostgresStoreSettings) {
    const { connection, durability, name } = settings;
    this.#settings = settings;
    this.#ledger = new PostgresLedger({
      connection,
      durability,
      ...(name === undefined ? {} : { name }),
      onTrouble: (message) => this.#fail(message),
      trouble: () => this.#trouble,
    });
    const trouble = (): string | null => this.#trouble;
    this.#lookups = new BoundedQueries(connection, { setUp: FOR_LOOKING_UP, withinMs: LOOKUP_WITHIN_MS, waitingMax: LOOKUPS_MAX, trouble });
    this.#summaries = new BoundedQueries(connection, {
      setUp: FOR_READING,
      withinMs: SUMMARY_WITHIN_MS,
      waitingMax: SUMMARIES_MAX,
      trouble,
    });
    this.#watch = new ReconnectingSession(connection, { setUp: "SET statement_timeout = '2s'", answerMs: WATCH_WITHIN_MS });
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
        const store = new PostgresStore(settings);
        store.#watching = store.#watchOn();
        return store;
      } catch (error) {
        const message = errorText(error);
        if (!mayAnswerLater(error)) throw error;
        if (Date.now() > deadline) throw new Error(`PostgreSQL does not answer (${message}): is it running, and is the address right?`);
        settings.onTrouble(`PostgreSQL does not answer yet: ${message}`);
      }
      await sleep(OPEN_PAUSE_MS);
    }
  }

  /** @throws {NameTaken} when another process has this relay's name. */
  takeName(): Promise<void> {
    return this.#ledger.takeName();
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  commit(token: FencingToken, units: readonly CommitUnit[]): Promise<UnitOutcome[]> {
    return this.#ledger.commit(token, units);
  }

  query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>> {
    return (LOOKUPS.has(name) ? this.#lookups : this.#summaries).run(() => queryOf(name, args));
  }

  watch(since: number, onRecords: (records: ControlRecords) => void): void {
    this.#watcher ??= { seen: since, onRecords };
  }

  /** Looks from the start on: trouble that came before anybody watches must end, too. */
  async #watchOn(): Promise<void> {
    while (!this.#isClosed) {
      const asked = this.#asked.splice(0);
      try {
        await this.#look(this.#watcher);
        if (this.#trouble !== null) this.#settings.onTrouble("PostgreSQL answers again");
        this.#trouble = null;
      } catch (error) {
        this.#fail(errorText(error));
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

  async #look(watcher: Watcher | null): Promise<void> {
    if (watcher === null) return void (await this.#watch.run(() => read("SELECT 1", [])));
    const records = await this.#watch.run(() => queryOf("records", { since: watcher.seen }));
    if (records.version !== watcher.seen) watcher.onRecords(records);
    watcher.seen = records.version;
  }

  /** One look at a time: two that overtake each other could leave an older record in place of a newer one. */
  fresh(): Promise<void> {
    if (this.#watcher === null || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#wake();
    });
  }

  #fail(reason: string): void {
    if (this.#trouble === null && !this.#isClosed) this.#settings.onTrouble(`PostgreSQL does not answer: ${reason}`);
    this.#trouble = `PostgreSQL does not answer: ${reason}`;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    await Promise.all([this.#ledger.close(), this.#lookups.close(), this.#summaries.close(), this.#watch.close()]);
    await this.#watching;
  }
}

interface Watcher {
  /** The last version that was told. */
  seen: number;
  readonly onRecords: (records: ControlRecords) => void;
}
