/**
 * Sees to it that a row, and how its hold ends, is kept: by the database, else by the spool file, else in memory until
 * one of them can again. While it is the last, no new request may start.
 */
import { errorText } from "../../basics/error-text.ts";
import type { Ending, Recorded, RequestRow, RowStore } from "../../insight/row.ts";
import { asLate, EntryStore } from "./entry-store.ts";
import type { EntryStoreParts, EntryOutcome } from "./entry-store.ts";
import type { Spool, SpoolEntry } from "./spool.ts";
import type { Store } from "../store.ts";

/** What the database has not confirmed by then goes to the spool file. */
const CONFIRM_WITHIN_MS = 2_000;
const SPOOL_RETRY_MS = 5_000;
const UNKEPT_RETRY_MS = 1_000;
/** In memory alone. Nothing starts while there is one, so these are of requests that were running. */
const UNKEPT_MAX = 10_000;
const TOLD_MAX = 20;

export interface RowKeeperParts extends EntryStoreParts {
  readonly store: Pick<Store, "write" | "trouble" | "isAwaited" | "hasRoom" | "waiting">;
  readonly spool: Spool;
}

export class RowKeeper implements RowStore {
  readonly #parts: RowKeeperParts;
  readonly #entries: EntryStore;
  #unkept: SpoolEntry[] = [];
  /** Of them, those that wait to be tried again in this turn. */
  #retried: SpoolEntry[] = [];
  #timer: NodeJS.Timeout | null = null;
  #catchingUp: Promise<void> | null = null;
  #isClosed = false;
  #told = 0;

  constructor(parts: RowKeeperParts) {
    this.#parts = parts;
    this.#entries = new EntryStore(parts);
  }

  get waiting(): number {
    return this.#parts.store.waiting + this.#unkeptCount;
  }

  get #unkeptCount(): number {
    return this.#unkept.length + this.#retried.length;
  }

  get hasRoom(): boolean {
    return this.#parts.store.hasRoom && this.#unkeptCount === 0 && this.#parts.spool.hasRoom;
  }

  /** Rejects when the row is in memory alone. It is kept trying for either way. */
  async record(row: RequestRow, ending?: Ending): Promise<Recorded> {
    const entry: SpoolEntry = { row, ending: ending ?? null };
    const outcome = await this.#storeInTime(entry);
    if (outcome.ok) return { isStored: true, chargedNanos: outcome.chargedNanos, writtenOffNanos: outcome.writtenOffNanos };
    const late = asLate(entry);
    try {
      this.#parts.spool.append(late);
    } catch (error) {
      this.#keepInMemory(late);
      this.#schedule(UNKEPT_RETRY_MS);
      throw new Error(`${outcome.reason}; and the spool file: ${errorText(error)}`);
    }
    // An outage of minutes is one trouble, not one for every request; and a store that is to come later is none.
    if (this.#parts.store.isAwaited !== true && ++this.#told <= TOLD_MAX)
      this.#parts.onTrouble(`row ${row.id} went to the spool file: ${outcome.reason}`);
    this.#schedule(SPOOL_RETRY_MS);
    return { isStored: false };
  }

  /** Stores what is in the spool file and in memory. Never rejects. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#catchUp().finally(() => (this.#catchingUp = null));
    return this.#catchingUp;
  }

  /** Has the spool changed while nothing is read from it. */
  async withSpool(change: (spool: Spool) => void): Promise<void> {
    while (this.#catchingUp !== null) await this.#catchingUp;
    change(this.#parts.spool);
  }

  async #catchUp(): Promise<void> {
    const { spool, store, onTrouble } = this.#parts;
    if (store.trouble !== null) return this.#schedule(UNKEPT_RETRY_MS);
    try {
      await this.#retryUnkept();
      const { bad, isEmpty } = await spool.drain((entries) => this.#entries.storeAll(entries));
      if (bad !== null) onTrouble(`${bad.count} lines of the spool file cannot be stored and are in spool.bad; the first: ${bad.reason}`);
      if (!isEmpty) this.#schedule(SPOOL_RETRY_MS);
      else this.#told = 0;
      if (this.#unkept.length === 0) spool.reserve();
    } catch (error) {
      onTrouble(`the spool file cannot be read: ${errorText(error)}`);
      this.#schedule(SPOOL_RETRY_MS);
    }
  }

  /** Those that fail again are in memory again, and their callers heard of it when they first did. */
  async #retryUnkept(): Promise<void> {
    this.#retried = this.#unkept.splice(0);
    for (let entry = this.#retried.shift(); entry !== undefined; entry = this.#retried.shift())
      await this.record(entry.row, entry.ending ?? undefined).catch(() => undefined);
  }

  /** Money first: at the bound an entry that ends a hold takes the place of one that does not. */
  #keepInMemory(entry: SpoolEntry): void {
    const isFull = this.#unkeptCount >= UNKEPT_MAX;
    const at = entry.ending === null ? -1 : this.#unkept.findIndex((each) => each.ending === null);
    const lost = !isFull ? undefined : at < 0 ? entry : this.#unkept.splice(at, 1)[0];
    if (lost !== entry) this.#unkept.push(entry);
    if (lost === undefined) return;
    const end = lost.ending === null ? "" : "; its hold ends at its last checkpoint when this relay starts again";
    this.#parts.onTrouble(
      `row ${lost.row.id} is lost: 10,000 rows are in memory alone, and neither the database nor the disk takes one${end}`,
    );
  }

  async #storeInTime(entry: SpoolEntry): Promise<EntryOutcome> {
    const trouble = this.#parts.store.trouble;
    if (trouble !== null) return { ok: false, isOwn: false, reason: trouble };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<EntryOutcome>((resolve) => {
      const reason = `the database took longer than ${CONFIRM_WITHIN_MS / 1000} s`;
      timer = setTimeout(() => resolve({ ok: false, isOwn: false, reason }), CONFIRM_WITHIN_MS);
    });
    const outcome = await Promise.race([this.#entries.storeInTime(entry), late]);
    clearTimeout(timer);
    return outcome;
  }

  #schedule(ms: number): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.catchUp();
    }, ms).unref();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#parts.spool.close();
  }
}
