/**
 * Sees to it that a row, and how its hold ends, is kept: by the database, else by the spool file, else in memory until
 * one of them can again. While it is the last, no new request may start.
 */
import type { Ending, Recorded, RequestRow, RowStore } from "../insight/row.ts";
import type { Done, HoldOutcome, Operation, Result } from "../ledger/operation.ts";
import type { Spool, SpoolEntry } from "./spool.ts";
import type { Store } from "./store.ts";
import type { Write } from "./writes.ts";

/** What the database has not confirmed by then goes to the spool file. */
const CONFIRM_WITHIN_MS = 2_000;
const SPOOL_RETRY_MS = 5_000;
const UNKEPT_RETRY_MS = 1_000;
/** Beyond this many in memory alone nothing starts anyway: what is running is bounded by the sockets there are. */
const TOLD_MAX = 20;

export interface RowKeeperParts {
  readonly store: Pick<Store, "write" | "trouble" | "hasRoom" | "waiting">;
  readonly ledger: { ask(operation: Operation, writes?: readonly Write[]): Promise<Result> };
  readonly spool: Spool;
  readonly onTrouble: (message: string) => void;
}

type Outcome =
  | { readonly ok: true; readonly chargedNanos: bigint | null; readonly writtenOffNanos: bigint }
  | { readonly ok: false; readonly reason: string };

export class RowKeeper implements RowStore {
  readonly #parts: RowKeeperParts;
  #unkept: SpoolEntry[] = [];
  #timer: NodeJS.Timeout | null = null;
  #catchingUp: Promise<void> | null = null;
  #isClosed = false;
  #told = 0;

  constructor(parts: RowKeeperParts) {
    this.#parts = parts;
  }

  get waiting(): number {
    return this.#parts.store.waiting + this.#unkept.length;
  }

  get hasRoom(): boolean {
    return this.#parts.store.hasRoom && this.#unkept.length === 0 && this.#parts.spool.hasRoom;
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
      this.#unkept.push(late);
      this.#schedule(UNKEPT_RETRY_MS);
      throw new Error(`${outcome.reason}; and the spool file: ${error instanceof Error ? error.message : String(error)}`);
    }
    // An outage of minutes is one trouble, not one for every request.
    if (++this.#told <= TOLD_MAX) this.#parts.onTrouble(`row ${row.id} went to the spool file: ${outcome.reason}`);
    this.#schedule(SPOOL_RETRY_MS);
    return { isStored: false };
  }

  /** Stores what is in the spool file and in memory. Never rejects. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#catchUp().finally(() => (this.#catchingUp = null));
    return this.#catchingUp;
  }

  async #catchUp(): Promise<void> {
    const { spool, store, onTrouble } = this.#parts;
    if (store.trouble !== null) return this.#schedule(UNKEPT_RETRY_MS);
    try {
      for (const { row, ending } of this.#unkept.splice(0)) await this.record(row, ending ?? undefined).catch(() => undefined);
      const { badLines, isEmpty } = await spool.drain(async (entries) => {
        const outcomes = await Promise.all(entries.map((entry) => this.#store(entry)));
        return outcomes.every((outcome) => outcome.ok);
      });
      if (badLines > 0) onTrouble(`${badLines} lines of the spool file are no rows: they are in spool.bad`);
      if (!isEmpty) this.#schedule(SPOOL_RETRY_MS);
      else this.#told = 0;
      if (this.#unkept.length === 0) spool.reserve();
    } catch (error) {
      onTrouble(`the spool file cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      this.#schedule(SPOOL_RETRY_MS);
    }
  }

  async #storeInTime(entry: SpoolEntry): Promise<Outcome> {
    const trouble = this.#parts.store.trouble;
    if (trouble !== null) return { ok: false, reason: trouble };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Outcome>((resolve) => {
      const reason = `the database took longer than ${CONFIRM_WITHIN_MS / 1000} s`;
      timer = setTimeout(() => resolve({ ok: false, reason }), CONFIRM_WITHIN_MS);
    });
    const outcome = await Promise.race([this.#store(entry), late]);
    clearTimeout(timer);
    return outcome;
  }

  async #store({ row, ending }: SpoolEntry): Promise<Outcome> {
    return ending === null ? this.#writeRow(row) : this.#end(row, ending);
  }

  async #writeRow(row: RequestRow): Promise<Outcome> {
    const reason = await this.#parts.store.write([{ kind: "row", row }]);
    if (reason !== null) return { ok: false, reason };
    return { ok: true, chargedNanos: row.chargeNanos === null ? null : BigInt(row.chargeNanos), writtenOffNanos: 0n };
  }

  /** The end of the hold and the row in one transaction. */
  async #end(row: RequestRow, ending: Ending): Promise<Outcome> {
    const result = await this.#parts.ledger.ask(ending, riderOf(row));
    if (result.ok) return ended(result);
    if (result.code === "not_open" && result.hold !== undefined) return this.#endLate(row, ending, result.hold);
    if (result.code !== "hold_unknown") return { ok: false, reason: result.reason ?? result.code };
    this.#parts.onTrouble(`the hold of ${row.id} is not known to the ledger: its row says what it would have cost`);
    return this.#writeRow(row);
  }

  /** Somebody took this process for dead and ended the hold at its last checkpoint: the difference is corrected. */
  async #endLate(row: RequestRow, ending: Ending, hold: HoldOutcome): Promise<Outcome> {
    const costNanos = ending.kind === "settle" ? ending.costNanos : 0n;
    const result = await this.#parts.ledger.ask({ kind: "correct", id: row.id, costNanos }, riderOf(row));
    if (result.ok) return ended(result);
    if (result.code === "store_unavailable" || result.code === "store_failed") return { ok: false, reason: result.reason ?? result.code };
    this.#parts.onTrouble(`the hold of ${row.id} had ended as ${hold.state} before: ${result.code}`);
    return this.#writeRow({ ...row, chargeNanos: String(hold.chargedNanos ?? 0n) });
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

/**
 * Without its settlement a good answer ends with an error, so that is how it ended. Of a plain one the client gets nothing but
 * that error, and pays nothing.
 */
function asLate({ row, ending }: SpoolEntry): SpoolEntry {
  if (ending === null || row.errorCode !== null || row.endReason === "client_gone") return { row, ending };
  const end = { endReason: "store_unavailable" } as const;
  const late = { ...row, ...end, errorCode: "store_unavailable" };
  return { row: late, ending: row.isStream ? { ...ending, ...end } : { kind: "void", id: row.id, ...end } };
}

/** Charged is null where the hold was of an account that does not pay. */
function ended({ balances, hold }: Done): Outcome {
  const chargedNanos = balances === null ? null : (hold?.chargedNanos ?? 0n);
  return { ok: true, chargedNanos, writtenOffNanos: hold?.writtenOffNanos ?? 0n };
}

function riderOf(row: RequestRow): Write[] {
  return [{ kind: "row", row }];
}
