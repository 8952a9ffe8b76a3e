/** Brings one entry, a row and how its hold ends, into the database. */
import type { Ending, RequestRow } from "../../insight/row.ts";
import type { Done, HoldOutcome, Operation, Result } from "../../ledger/operation.ts";
import type { Fate, SpoolEntry } from "./spool.ts";
import type { Store } from "../store.ts";
import type { Write } from "../tables/writes.ts";

export interface EntryStoreParts {
  readonly store: Pick<Store, "write">;
  readonly ledger: { ask(operation: Operation, writes?: readonly Write[]): Promise<Result> };
  readonly onTrouble: (message: string) => void;
}

export type EntryOutcome =
  | { readonly ok: true; readonly chargedNanos: bigint | null; readonly writtenOffNanos: bigint }
  /** `isOwn`: the entry itself is to blame, and fails the next time too. */
  | { readonly ok: false; readonly isOwn: boolean; readonly reason: string };

export class EntryStore {
  readonly #parts: EntryStoreParts;

  constructor(parts: EntryStoreParts) {
    this.#parts = parts;
  }

  store({ row, ending }: SpoolEntry): Promise<EntryOutcome> {
    return ending === null ? this.#writeRow(row) : this.#end(row, ending, [{ kind: "row", row }]);
  }

  /**
   * Stores the entry while the client still waits for the answer. If another relay has declared this process dead, it has already
   * ended the hold; the entry is then late at once, because a hold may be corrected only once.
   */
  async storeInTime(entry: SpoolEntry): Promise<EntryOutcome> {
    const { row, ending } = entry;
    if (ending === null || asLate(entry).ending?.kind === ending.kind) return this.store(entry);
    const result = await this.#parts.ledger.ask(ending, [{ kind: "row", row }]);
    if (result.ok) return ended(result);
    if (result.code === "not_open") return { ok: false, isOwn: false, reason: `its hold had ended as ${result.hold?.state ?? "unknown"}` };
    return result.code === "hold_unknown" ? this.store(entry) : failed(result);
  }

  /** All at once; what fails for its own sake is looked at alone afterwards. */
  async storeAll(entries: readonly SpoolEntry[]): Promise<Fate[]> {
    const outcomes = await Promise.all(entries.map((entry) => this.store(entry)));
    const fates: Fate[] = [];
    for (const [at, entry] of entries.entries()) {
      const outcome = outcomes[at];
      fates.push(outcome?.ok === false && outcome.isOwn ? await this.#storeAlone(entry) : fateOf(outcome));
    }
    return fates;
  }

  /** What lost against other transactions is stored now. A hold is ended even if its row can never be stored: money first. */
  async #storeAlone(entry: SpoolEntry): Promise<Fate> {
    const { row, ending } = entry;
    const again = await this.store(entry);
    if (again.ok || !again.isOwn) return fateOf(again);
    if (ending === null) return { bad: again.reason };
    const bare = await this.#end(row, ending, []);
    if (bare.ok) return { bad: `${again.reason}; its hold is ended, its row is not stored` };
    return bare.isOwn ? { bad: bare.reason } : "later";
  }

  async #writeRow(row: RequestRow): Promise<EntryOutcome> {
    const failure = await this.#parts.store.write([{ kind: "row", row }]);
    if (failure !== null) return { ok: false, ...failure };
    return { ok: true, chargedNanos: row.chargeNanos === null ? null : BigInt(row.chargeNanos), writtenOffNanos: 0n };
  }

  /** The end of the hold and what goes with it in one transaction. */
  async #end(row: RequestRow, ending: Ending, writes: readonly Write[]): Promise<EntryOutcome> {
    const result = await this.#parts.ledger.ask(ending, writes);
    if (result.ok) return ended(result);
    if (result.code === "not_open" && result.hold !== undefined) return this.#endLate(row, ending, writes, result.hold);
    if (result.code !== "hold_unknown") return failed(result);
    this.#parts.onTrouble(`the hold of ${row.id} is not known to the ledger: its row says what it would have cost`);
    return this.#writeRow(row);
  }

  /** Somebody took this process for dead and ended the hold at its last checkpoint: the difference is corrected. */
  async #endLate(row: RequestRow, ending: Ending, writes: readonly Write[], hold: HoldOutcome): Promise<EntryOutcome> {
    const truth = ending.kind === "settle" ? { costNanos: ending.costNanos } : { costNanos: 0n, freesKey: true };
    const result = await this.#parts.ledger.ask({ kind: "correct", id: row.id, ...truth }, writes);
    if (result.ok) return ended(result);
    if (result.code === "store_unavailable" || result.code === "store_failed") return failed(result);
    this.#parts.onTrouble(`the hold of ${row.id} had ended as ${hold.state} before: ${result.code}`);
    return this.#writeRow({ ...row, chargeNanos: String(hold.chargedNanos ?? 0n) });
  }
}

function failed({ code, reason }: Extract<Result, { ok: false }>): EntryOutcome {
  return { ok: false, isOwn: code !== "store_unavailable", reason: reason ?? code };
}

function fateOf(outcome: EntryOutcome | undefined): Fate {
  if (outcome === undefined) return "later";
  if (outcome.ok) return "stored";
  return outcome.isOwn ? { bad: outcome.reason } : "later";
}

/** Charged is null where the hold was of an account that does not pay. */
function ended({ balances, hold }: Done): EntryOutcome {
  const chargedNanos = balances === null ? null : (hold?.chargedNanos ?? 0n);
  return { ok: true, chargedNanos, writtenOffNanos: hold?.writtenOffNanos ?? 0n };
}

/**
 * Without its settlement a good answer ends with an error, so that is how it ended. Of a plain one the client gets nothing but
 * that error, and pays nothing.
 */
export function asLate({ row, ending }: SpoolEntry): SpoolEntry {
  if (ending === null || row.errorCode !== null || row.endReason === "client_gone") return { row, ending };
  const end = { endReason: "store_unavailable" } as const;
  const late = { ...row, ...end, errorCode: "store_unavailable" };
  if (row.isStream) return { row: late, ending: { ...ending, ...end } };
  // Spaces that kept a slow client waiting have sent the status already.
  const status = row.bytesOut === 0 ? 503 : row.status;
  return { row: { ...late, status }, ending: { kind: "void", id: row.id, ...end } };
}
