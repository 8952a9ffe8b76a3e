/** The books as somebody beside them keeps them: every transfer as it was stored, and what may be true of each commit. */
import { DAY_MS } from "../operations.ts";
import type { Operation, Result } from "../../../src/ledger/operation.ts";
import type { BudgetWindow, Hold, LedgerState, Lot, LotMove, Transfer } from "../../../src/ledger/state.ts";
import type { Commit } from "./books.ts";

type Breach = (rule: string, id: string) => void;

/** Wallets whose balance operators change too: those may be driven below their floor. */
const ADJUSTED = "wallet:adjusted";

export class Journal {
  readonly #breach: Breach;
  readonly #transfers = new Map<string, Transfer>();
  readonly #moves: LotMove[] = [];
  readonly #holds = new Map<string, Readonly<Hold>>();
  readonly #ended = new Set<string>();
  readonly #freed = new Set<string>();
  readonly #epochs = new Map<string, number>();
  readonly #leases = new Map<string, number>();

  constructor(breach: Breach) {
    this.#breach = breach;
  }

  /** As they were when they came. */
  readonly #lots = new Map<string, Readonly<Lot>>();
  /** Of lots and holds: the number of the commit they came with, for clocks may be set back. */
  readonly #bornIn = new Map<string, number>();
  #commits = 0;

  knowsHold(id: string): boolean {
    return this.#holds.has(id);
  }

  add(commit: Commit): void {
    this.#commits += 1;
    for (const { id } of [...commit.changes.lots.added, ...commit.changes.holds.added]) this.#bornIn.set(id, this.#commits);
    for (const lot of commit.changes.lots.added) this.#lots.set(lot.id, lot);
    for (const result of commit.results)
      if (!result.ok && result.isFault === true) this.#breach("no decision is a fault", result.reason ?? "");
    for (const [at, operation] of commit.operations.entries()) this.#addOperation(operation, commit.results[at], commit);
    for (const { id } of commit.changes.holds.added) if (!this.#holds.has(id)) this.#breach("every hold was asked for", id);
    for (const { after } of commit.changes.holds.changed) this.#addEnd(after);
    for (const transfer of commit.changes.transfers) this.#addTransfer(transfer);
    for (const move of commit.changes.lotMoves) this.#addMove(move, commit);
    for (const window of windowsOf(commit)) this.#judgeWindow(window, commit);
    for (const { after } of commit.changes.wallets.changed) this.#judgeWallet(after.id, commit.state);
  }

  #addOperation(operation: Operation, result: Result | undefined, commit: Commit): void {
    if (result?.ok !== true) return;
    const { node, leaseMs } = commit.token;
    switch (operation.kind) {
      case "correct":
        if (operation.freesKey === true) this.#freed.add(operation.id);
        return;
      case "renew_lease":
        this.#leases.set(node, Math.max(this.#leases.get(node) ?? 0, commit.nowMs + leaseMs));
        return;
      case "recover":
        if (result.recovery !== null) this.#addRecovery(operation.node, result.recovery.epoch, commit);
        return;
      case "hold":
        if (!result.isRepeat) this.#addHold(operation.id, commit);
        return;
      default:
    }
  }

  #addRecovery(node: string, epoch: number, { token, nowMs }: Commit): void {
    const isLive = (this.#leases.get(node) ?? 0) > nowMs;
    if (node !== token.node && isLive) this.#breach("nobody ends the holds of a process whose lease runs", node);
    this.#epochs.set(node, epoch);
    this.#leases.set(node, node === token.node ? nowMs + token.leaseMs : 0);
  }

  #addHold(id: string, { state, nowMs, token }: Commit): void {
    const hold = state.holds.get(id);
    if (hold === undefined) return this.#breach("a hold that was answered is there", id);
    const isRunning = this.#epochs.get(token.node) === token.epoch && (this.#leases.get(token.node) ?? 0) > nowMs;
    if (!isRunning) this.#breach("only a process whose epoch and lease run sets money aside", id);
    if (hold.idempotencyKey !== null) this.#judgeKey(hold, state, nowMs);
    this.#holds.set(id, hold);
  }

  /** The hold that had the key before must be of no account any more: nothing was charged for it, or a day is over. */
  #judgeKey(hold: Readonly<Hold>, state: LedgerState, nowMs: number): void {
    const sameKey = [...this.#holds.values()].filter(
      (each) => each.idempotencyKey === hold.idempotencyKey && each.accountId === hold.accountId,
    );
    const last = sameKey.at(-1);
    const now = last === undefined ? undefined : state.holds.get(last.id);
    if (now === undefined || now.createdAtMs + DAY_MS <= nowMs) return;
    const isFree = now.state === "voided" || (now.state === "recovered" && now.chargedNanos === 0n) || this.#freed.has(now.id);
    if (!isFree) this.#breach("a client that asks again with its key is not charged again", `${now.id} and ${hold.id}`);
  }

  #addEnd({ id, state }: Readonly<Hold>): void {
    if (this.#ended.has(id)) this.#breach("a hold that has ended stays as it is", id);
    if (state !== "open") this.#ended.add(id);
  }

  #addTransfer(transfer: Transfer): void {
    if (this.#transfers.has(transfer.id)) this.#breach("one cause moves money once", transfer.id);
    this.#transfers.set(transfer.id, transfer);
  }

  #addMove(move: LotMove, { state, changes }: Commit): void {
    this.#moves.push(move);
    const transfer = this.#transfers.get(move.transferId);
    const lot = this.#lots.get(move.lotId);
    if (transfer === undefined || lot === undefined) return this.#breach("a lot moves by a transfer", move.lotId);
    if (transfer.code === "refund_reserve" && lot.kind !== "paid") this.#breach("given credit is never paid back", lot.id);
    if (transfer.code !== "usage" && transfer.code !== "usage_promo") return;
    const hold = state.holds.get(transfer.holdId ?? "");
    const isOlder = (this.#bornIn.get(lot.id) ?? 0) < (this.#bornIn.get(hold?.id ?? "") ?? 0);
    if (isOlder && (lot.expiresAtMs ?? Infinity) <= (hold?.createdAtMs ?? 0))
      this.#breach("a hold uses no credit that had expired before it", lot.id);
    if (lot.kind !== "paid" || state.lots.get(lot.id)?.expiredAfterHold !== null) return;
    const isBefore = (other: Readonly<Lot>): boolean => (this.#lots.get(other.id)?.priority ?? 100) < lot.priority && isUsable(other);
    const passedOver = [...state.lots.values()].find(
      (other) => other.walletId === lot.walletId && isBefore(other) && !changes.lots.added.includes(other),
    );
    if (passedOver !== undefined) this.#breach("given credit is used before what was paid", passedOver.id);
  }

  #judgeWindow(window: Readonly<BudgetWindow>, { changes, operations, state }: Commit): void {
    const { id, budgetId, spentNanos, heldNanos } = window;
    this.#judgeCount(window, state);
    // What a request cost above its hold may come after, in the same batch.
    const isAlone = !operations.some(({ kind }) => kind === "settle" || kind === "correct" || kind === "set_budget");
    const isAdmitted = isAlone && changes.holds.added.some((hold) => hold.state === "open" && hold.windowIds.includes(id));
    const isOver = spentNanos + heldNanos > (state.budgets.get(budgetId)?.capNanos ?? 0n);
    if (isAdmitted && isOver) this.#breach("a budget admits no more than its cap", id);
  }

  #judgeCount({ id, spentNanos, heldNanos }: Readonly<BudgetWindow>, state: LedgerState): void {
    const holds = [...state.holds.values()].filter((hold) => hold.windowIds.includes(id));
    const held = sum(holds, (hold) => (hold.state === "open" ? hold.amountNanos : 0n));
    const spent = sum(holds, (hold) => (hold.chargedNanos ?? 0n) + (state.corrections.get(hold.id)?.deltaNanos ?? 0n));
    if (held !== heldNanos || spent !== spentNanos) this.#breach("a budget counts each of its holds once", id);
  }

  #judgeWallet(id: string, state: LedgerState): void {
    const wallet = state.wallets.get(id);
    if (wallet === undefined) return this.#breach("a wallet stays", id);
    const open = [...state.holds.values()].filter((hold) => hold.walletId === id && hold.state === "open");
    if (wallet.heldNanos !== sum(open, (hold) => hold.amountNanos)) this.#breach("what is held is the sum of the open holds", id);
    if (wallet.balanceNanos < wallet.heldNanos && id !== ADJUSTED) this.#breach("no wallet is overdrawn", id);
  }

  /** Everything that was ever stored against everything that is there. */
  judge(state: LedgerState): void {
    const stored = [...state.transfers.values()];
    if (stored.length !== this.#transfers.size) this.#breach("no transfer is lost", `${stored.length} of ${this.#transfers.size}`);
    for (const transfer of stored)
      if (!isSame(this.#transfers.get(transfer.id), transfer)) this.#breach("a transfer stays as it was", transfer.id);
    for (const wallet of state.wallets.values()) this.#replay(wallet.id, wallet.balanceNanos, state);
    for (const lot of state.lots.values()) this.#judgeLot(lot, state);
    for (const hold of state.holds.values()) this.#judgeHold(hold);
    for (const window of state.windows.values()) this.#judgeCount(window, state);
    const clearing = sum(stored, ({ amountNanos, credit, debit }) => sideOf("refund_clearing", credit, debit) * amountNanos);
    const reserved = sum([...state.refunds.values()], (refund) => (refund.state === "reserved" ? refund.amountNanos : 0n));
    if (clearing !== reserved) this.#breach("what waits to be paid back is the sum of the open refunds", "refund_clearing");
  }

  #replay(id: string, balanceNanos: bigint, state: LedgerState): void {
    const own = [...this.#transfers.values()].filter((transfer) => transfer.debit === id || transfer.credit === id);
    let balance = 0n;
    for (const [at, transfer] of own.toSorted((a, b) => (a.walletSeq ?? 0) - (b.walletSeq ?? 0)).entries()) {
      balance += sideOf(id, transfer.credit, transfer.debit) * transfer.amountNanos;
      if (transfer.balanceAfterNanos !== balance || transfer.walletSeq !== at + 1)
        this.#breach("replaying the transfers gives each balance", transfer.id);
    }
    if (balance !== balanceNanos) this.#breach("a balance is the sum of its transfers", id);
    const lots = sum([...state.lots.values()], (lot) => (lot.walletId === id ? lot.remainingNanos : 0n));
    if (id !== ADJUSTED && lots !== balance) this.#breach("what is left in the lots is the balance", id);
  }

  #judgeLot({ id, amountNanos, remainingNanos }: Readonly<Lot>, state: LedgerState): void {
    const moved = sum(this.#moves, (move) => (move.lotId === id ? move.deltaNanos : 0n));
    if (remainingNanos !== amountNanos + moved || remainingNanos < 0n) this.#breach("a lot has left what its moves left", id);
    const refunded = sum([...state.refunds.values()], (refund) =>
      refund.lotId === id && refund.state !== "failed" ? refund.amountNanos : 0n,
    );
    if (refunded > amountNanos) this.#breach("no more is paid back than was paid", id);
  }

  #judgeHold({ id, walletId, chargedNanos, writtenOffNanos, amountNanos }: Readonly<Hold>): void {
    const moved = (cause: string): bigint => sum([...this.#transfers.values()], (each) => (each.cause === cause ? each.amountNanos : 0n));
    if (walletId !== null && moved(`settle:${id}`) !== chargedNanos) this.#breach("a request is charged once", id);
    const wasCovered = (chargedNanos ?? 0n) + writtenOffNanos <= amountNanos;
    if (wasCovered && writtenOffNanos > 0n && walletId !== ADJUSTED) this.#breach("what was set aside can be charged", id);
  }
}

function windowsOf({ changes }: Commit): readonly Readonly<BudgetWindow>[] {
  return [...changes.windows.added, ...changes.windows.changed.map(({ after }) => after)];
}

function isUsable(lot: Readonly<Lot>): boolean {
  return lot.remainingNanos > 0n && lot.expiredAfterHold === null;
}

function isSame(stored: Transfer | undefined, found: Transfer): boolean {
  const keys = Object.keys(found) as (keyof Transfer)[];
  return stored === found || (stored !== undefined && keys.every((key) => stored[key] === found[key]));
}

function sideOf(account: string, credit: string, debit: string): bigint {
  if (credit === account) return 1n;
  return debit === account ? -1n : 0n;
}

function sum<T>(rows: readonly T[], amount: (row: T) => bigint): bigint {
  return rows.reduce((total, row) => total + amount(row), 0n);
}
