/** A working copy of the state: operations change it in order, and in the end it says what changed. */
import type { Changes, Hold, Idempotency, LedgerState, Lot, LotMove, TableChanges, Transfer, Wallet } from "./state.ts";

/** A row that a decision asked for or made: as it was before the decision (null for a new one), and as it is. */
export interface Touched<T> {
  readonly before: Readonly<T> | null;
  readonly after: T;
}

interface Entry<T> extends Touched<T> {
  /** As it was loaded; null for a row of this batch. */
  readonly loaded: Readonly<T> | null;
  before: Readonly<T> | null;
  after: T;
  /** The decision that touched it last, by number. */
  decision: number;
}

/** Rows by id, each copied when it is first asked for. */
class Table<T extends { readonly id: string }> {
  readonly #loaded: ReadonlyMap<string, Readonly<T>>;
  readonly #copy: (row: Readonly<T>) => T;
  readonly #entries = new Map<string, Entry<T>>();
  #touched: Entry<T>[] = [];
  #decision = 0;

  /** @param copy of one row; each table has its own, for the engine copies rows of one form several times faster. */
  constructor(loaded: ReadonlyMap<string, Readonly<T>>, copy: (row: Readonly<T>) => T) {
    this.#loaded = loaded;
    this.#copy = copy;
  }

  get(id: string): T | undefined {
    const known = this.#entries.get(id);
    if (known !== undefined) return this.#touch(known);
    const loaded = this.#loaded.get(id);
    return loaded === undefined ? undefined : this.#enter(id, loaded, this.#copy(loaded));
  }

  add(row: T): T {
    const known = this.#entries.get(row.id);
    if (known === undefined) return this.#enter(row.id, this.#loaded.get(row.id) ?? null, row);
    this.#touch(known);
    known.after = row;
    return row;
  }

  #enter(id: string, loaded: Readonly<T> | null, after: T): T {
    const entry = { loaded, before: loaded, after, decision: this.#decision };
    this.#entries.set(id, entry);
    this.#touched.push(entry);
    return after;
  }

  #touch(entry: Entry<T>): T {
    if (entry.decision !== this.#decision) {
      entry.decision = this.#decision;
      entry.before = this.#copy(entry.after);
      this.#touched.push(entry);
    }
    return entry.after;
  }

  /** Since the last {@link beginDecision}. */
  get touched(): readonly Touched<T>[] {
    return this.#touched;
  }

  beginDecision(): void {
    this.#decision += 1;
    if (this.#touched.length > 0) this.#touched = [];
  }

  changes(): TableChanges<T> {
    const added: T[] = [];
    const changed: { before: Readonly<T>; after: T }[] = [];
    for (const { loaded, after } of this.#entries.values()) {
      if (loaded === null) added.push(after);
      else if (differ(loaded, after)) changed.push({ before: loaded, after });
    }
    return { added, changed };
  }
}

function differ<T extends object>(a: T, b: T): boolean {
  for (const key in a) if (a[key] !== b[key]) return true;
  return false;
}

export class UnitOfWork {
  readonly wallets;
  readonly lots;
  readonly budgets;
  readonly windows;
  readonly holds;
  readonly refunds;
  readonly nodes;
  readonly transfers;
  readonly corrections;
  readonly idempotency;
  readonly lotMoves: LotMove[] = [];
  #movesBefore = 0;
  readonly #state: LedgerState;
  readonly #tables: readonly { beginDecision(): void }[];
  readonly #idempotencyFreed: { accountId: string; key: string; holdId: string }[] = [];
  /** Ids that were freed in this batch and not taken again. */
  readonly #free = new Set<string>();
  readonly #addedHoldIds: string[] = [];
  readonly #lotIdsByWallet: Map<string, string[]>;
  readonly #holdIdsByWallet: Map<string, string[]>;

  constructor(state: LedgerState) {
    this.#state = state;
    this.wallets = new Table(state.wallets, (row) => ({ ...row }));
    this.lots = new Table(state.lots, (row) => ({ ...row }));
    this.budgets = new Table(state.budgets, (row) => ({ ...row }));
    this.windows = new Table(state.windows, (row) => ({ ...row }));
    this.holds = new Table(state.holds, (row) => ({ ...row }));
    this.refunds = new Table(state.refunds, (row) => ({ ...row }));
    this.nodes = new Table(state.nodes, (row) => ({ ...row }));
    this.transfers = new Table(state.transfers, (row) => ({ ...row }));
    this.corrections = new Table(state.corrections, (row) => ({ ...row }));
    this.idempotency = new Table(state.idempotency, (row) => ({ ...row }));
    const { wallets, lots, budgets, windows, holds, refunds, nodes, transfers, corrections, idempotency } = this;
    this.#tables = [wallets, lots, budgets, windows, holds, refunds, nodes, transfers, corrections, idempotency];
    this.#lotIdsByWallet = idsByWallet(state.lots.values());
    this.#holdIdsByWallet = idsByWallet(state.holds.values());
  }

  /** The next decision begins: what is touched and moved is counted from here. */
  beginDecision(): void {
    this.#movesBefore = this.lotMoves.length;
    for (const table of this.#tables) table.beginDecision();
  }

  /** The lot moves of the decision under way. */
  movesOfDecision(): readonly LotMove[] {
    return this.lotMoves.slice(this.#movesBefore);
  }

  lotsOf(walletId: string): Lot[] {
    return rowsOf(this.lots, this.#lotIdsByWallet.get(walletId));
  }

  addLot(lot: Lot): void {
    this.lots.add(lot);
    addTo(this.#lotIdsByWallet, lot.walletId, lot.id);
  }

  /** Complete only for wallets with an expired lot, see {@link LedgerState}. */
  openHoldsOf(walletId: string): Hold[] {
    return rowsOf(this.holds, this.#holdIdsByWallet.get(walletId)).filter((hold) => hold.state === "open");
  }

  addHold(hold: Hold): void {
    this.holds.add(hold);
    this.#addedHoldIds.push(hold.id);
    if (hold.walletId !== null) addTo(this.#holdIdsByWallet, hold.walletId, hold.id);
  }

  /** Those that were made in this batch too, in the order of their ids. */
  openHoldsOfNode(node: string): Hold[] {
    const ids = new Set([...this.#state.holds.keys(), ...this.#addedHoldIds]);
    const holds = [...ids].toSorted().flatMap((id) => this.holds.get(id) ?? []);
    return holds.filter((hold) => hold.node === node && hold.state === "open");
  }

  /** The lot moves of a hold's settlement, be it stored or of this batch. */
  settledMoves(holdId: string): LotMove[] {
    const causes = new Set([settlementOf(holdId), `${settlementOf(holdId)}:promo`]);
    return [...(this.#state.settledMoves.get(holdId) ?? []), ...this.lotMoves.filter((move) => causes.has(move.transferId))];
  }

  findIdempotency(id: string): Idempotency | undefined {
    return this.#free.has(id) ? undefined : this.idempotency.get(id);
  }

  takeIdempotency(entry: Idempotency): void {
    this.#free.delete(entry.id);
    this.idempotency.add(entry);
  }

  freeIdempotency(id: string, accountId: string, key: string, holdId: string): void {
    this.#free.add(id);
    this.#idempotencyFreed.push({ accountId, key, holdId });
  }

  /** Moves money between a wallet and an account of ours. A positive delta is the customer's gain. */
  transfer(wallet: Wallet, deltaNanos: bigint, row: Pick<Transfer, "id" | "cause" | "code" | "createdAtMs"> & TransferDetails): Transfer {
    wallet.balanceNanos += deltaNanos;
    wallet.seq += 1;
    const isGain = deltaNanos > 0n;
    return this.transfers.add({
      id: row.id,
      cause: row.cause,
      debit: isGain ? row.counterpart : wallet.id,
      credit: isGain ? wallet.id : row.counterpart,
      amountNanos: isGain ? deltaNanos : -deltaNanos,
      code: row.code,
      walletId: wallet.id,
      walletSeq: wallet.seq,
      balanceAfterNanos: wallet.balanceNanos,
      holdId: row.holdId ?? null,
      reason: row.reason ?? null,
      actor: row.actor ?? null,
      createdAtMs: row.createdAtMs,
    });
  }

  moveLot(lot: Lot, deltaNanos: bigint, transferId: string): void {
    if (deltaNanos === 0n) return;
    lot.remainingNanos += deltaNanos;
    lot.isUsedUp = lot.remainingNanos === 0n;
    this.lotMoves.push({ transferId, lotId: lot.id, deltaNanos });
  }

  changes(): Changes {
    const idempotency = this.idempotency.changes();
    const taken = [...idempotency.added, ...idempotency.changed.map((change) => change.after)];
    return {
      wallets: this.wallets.changes(),
      lots: this.lots.changes(),
      budgets: this.budgets.changes(),
      windows: this.windows.changes(),
      holds: this.holds.changes(),
      refunds: this.refunds.changes(),
      nodes: this.nodes.changes(),
      transfers: this.transfers.changes().added,
      lotMoves: this.lotMoves,
      corrections: this.corrections.changes().added,
      idempotencyFreed: this.#idempotencyFreed,
      idempotencyAdded: taken.filter((entry) => !this.#free.has(entry.id)),
    };
  }
}

interface TransferDetails {
  readonly counterpart: string;
  readonly holdId?: string;
  readonly reason?: string;
  readonly actor?: string;
}

/** Cause of the transfers that end a hold, however it ends: a second end would need the same ids. */
export function settlementOf(holdId: string): string {
  return `settle:${holdId}`;
}

/** Those of the ids that there are. */
export function rowsOf<T extends { readonly id: string }>(table: { get(id: string): T | undefined }, ids: readonly string[] = []): T[] {
  const rows: T[] = [];
  for (const id of ids) {
    const row = table.get(id);
    if (row !== undefined) rows.push(row);
  }
  return rows;
}

function idsByWallet(rows: Iterable<{ readonly id: string; readonly walletId: string | null }>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const row of rows) if (row.walletId !== null) addTo(found, row.walletId, row.id);
  return found;
}

function addTo(map: Map<string, string[]>, key: string, id: string): void {
  const ids = map.get(key);
  if (ids === undefined) map.set(key, [id]);
  else ids.push(id);
}
