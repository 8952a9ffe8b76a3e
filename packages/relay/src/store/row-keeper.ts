/**
 * Sees to it that a row is kept: by the database, else by the spool file, else in memory until one of them can again.
 * While it is the last, no new request may start.
 */
import type { RequestRow } from "../insight/row.ts";
import type { Spool } from "./spool.ts";

/** A row that the database has not confirmed by then goes to the spool file. */
const CONFIRM_WITHIN_MS = 2_000;
const SPOOL_RETRY_MS = 10_000;
const UNKEPT_RETRY_MS = 1_000;

export interface RowKeeperParts {
  /** Writes to the database; null when the row is committed, else the reason why not. */
  readonly write: (row: RequestRow) => Promise<string | null>;
  readonly spool: Spool;
  readonly onTrouble: (message: string) => void;
}

export class RowKeeper {
  readonly #parts: RowKeeperParts;
  readonly #unkept: RequestRow[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(parts: RowKeeperParts) {
    this.#parts = parts;
  }

  /** Rows are in memory alone: neither the database nor the spool file takes them. */
  get isSick(): boolean {
    return this.#unkept.length > 0;
  }

  /** Resolves once the row survives this process; rejects when it is in memory alone. It is kept trying for either way. */
  async record(row: RequestRow): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`the database took longer than ${CONFIRM_WITHIN_MS / 1000} s`), CONFIRM_WITHIN_MS);
    });
    const reason = await Promise.race([this.#parts.write(row), late]);
    clearTimeout(timer);
    if (reason === null) return;
    try {
      this.#parts.spool.append(row);
    } catch (error) {
      this.#unkept.push(row);
      this.#schedule(UNKEPT_RETRY_MS);
      throw new Error(`${reason}; and the spool file: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.#parts.onTrouble(`row ${row.id} went to the spool file: ${reason}`);
    this.#schedule(SPOOL_RETRY_MS);
  }

  /** Stores what is in the spool file and in memory. Never rejects. */
  async catchUp(): Promise<void> {
    try {
      for (const row of this.#unkept.splice(0)) await this.record(row).catch(() => undefined);
      const { rows, badLines, forget } = this.#parts.spool.takeOver();
      if (badLines > 0) this.#parts.onTrouble(`${badLines} lines of the spool file are no rows: they are in spool.bad`);
      const reasons = await Promise.all(rows.map((row) => this.#parts.write(row)));
      if (reasons.every((reason) => reason === null)) forget();
      else this.#schedule(SPOOL_RETRY_MS);
      if (!this.isSick) this.#parts.spool.reserve();
    } catch (error) {
      this.#parts.onTrouble(`the spool file cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      this.#schedule(SPOOL_RETRY_MS);
    }
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
