/**
 * The embedded database of a relay that started while another one still ends on the same file: it is read, and writes are refused
 * as by a database that does not answer, until the other has let go of it.
 */
import { errorText } from "../../basics/error-text.ts";
import type { FencingToken, UnitOutcome } from "../../ledger/unit.ts";
import type { Database } from "../database.ts";
import type { CommitUnit } from "../ledger/commit.ts";
import type { ControlRecords, QueryAnswer, QueryArgs, QueryName } from "../queries/queries.ts";
import { WorkerClient } from "./worker-client.ts";

/** What the other relay still changes, until it closes its listener, is known here after so long. */
const LOOK_EVERY_MS = 250;
const AWAITED = "another relay on the same data still ends";

interface Watcher {
  since: number;
  readonly onRecords: (records: ControlRecords) => void;
}

export class StandbyDatabase implements Database {
  readonly isShared = false;
  readonly #reader: WorkerClient;
  readonly #onTrouble: (message: string) => void;
  #opened: Database | null = null;
  #watcher: Watcher | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> = Promise.resolve();
  #isTold = false;

  /** @param path of a database that exists. @param onTrouble told about trouble that no caller hears of. */
  constructor(path: string, onTrouble: (message: string) => void) {
    this.#onTrouble = onTrouble;
    this.#reader = new WorkerClient("standby-reader", { path }, (reason) => onTrouble(`reading the database stopped: ${reason}`));
  }

  /**
   * The file is this process's own from now on.
   * @param open opens it for writing.
   * @throws what `open` throws; then all stays as it was.
   */
  async takeOver(open: () => Promise<Database>): Promise<void> {
    const opened = await open();
    await this.fresh();
    this.#stopLooking();
    this.#opened = opened;
    await this.#reader.close();
  }

  get isAwaited(): boolean {
    return this.#opened === null;
  }

  get trouble(): string | null {
    return this.#opened === null ? AWAITED : this.#opened.trouble;
  }

  commit(token: FencingToken, units: readonly CommitUnit[]): Promise<UnitOutcome[]> {
    return this.#opened?.commit(token, units) ?? Promise.reject(new Error(AWAITED));
  }

  async query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>> {
    if (this.#opened !== null) return this.#opened.query(name, args);
    return (await this.#reader.ask({ name, args })) as QueryAnswer<N>;
  }

  watch(since: number, onRecords: (records: ControlRecords) => void): void {
    this.#watcher = { since, onRecords };
    this.#timer ??= setInterval(() => void this.fresh(), LOOK_EVERY_MS).unref();
  }

  /** One look at a time: two that overtake each other could leave an older record in place of a newer one. */
  fresh(): Promise<void> {
    if (this.#opened !== null) return this.#opened.fresh();
    this.#looking = this.#looking.then(() => this.#look());
    return this.#looking;
  }

  async #look(): Promise<void> {
    const watcher = this.#watcher;
    if (watcher === null || this.#opened !== null) return;
    try {
      const records = await this.query("records", { since: watcher.since });
      if (records.version !== watcher.since) watcher.onRecords(records);
      watcher.since = records.version;
      this.#isTold = false;
    } catch (error) {
      if (!this.#isTold) this.#onTrouble(`accounts and keys are known as they were: ${errorText(error)}`);
      this.#isTold = true;
    }
  }

  #stopLooking(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#watcher = null;
  }

  async close(): Promise<void> {
    this.#stopLooking();
    await this.#looking;
    await (this.#opened === null ? this.#reader.close() : this.#opened.close());
  }
}
