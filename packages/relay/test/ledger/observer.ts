/** Looks at the engine's state before and after each operation, and says which rule was broken. */
import type { Operation, Result } from "../../src/ledger/operation.ts";
import type { Changes, Hold, LedgerState, Lot, Wallet } from "../../src/ledger/state.ts";

export interface Step {
  readonly operation: Operation;
  readonly result: Result;
  readonly changes: Changes;
  readonly after: LedgerState;
}

/** Wallets whose balance only customers change; an operator may drive the others below their floor. */
const FLOORED = new Set(["wallet:plain", "wallet:owing"]);

export function broken(step: Step): string[] {
  const rules = [
    ...brokenByRepeat(step),
    ...brokenByAdmission(step),
    ...brokenByEnd(step),
    ...step.changes.lotMoves.flatMap((move) => brokenByMove(step, move.transferId, move.lotId, move.deltaNanos)),
  ];
  for (const wallet of touchedWallets(step)) rules.push(...brokenWallet(step, wallet));
  return rules;
}

function touchedWallets({ changes }: Step): Readonly<Wallet>[] {
  return [...changes.wallets.changed.map((change) => change.after), ...changes.wallets.added];
}

function lotsOf(state: LedgerState, walletId: string): Readonly<Lot>[] {
  return [...state.lots.values()].filter((lot) => lot.walletId === walletId && lot.remainingNanos > 0n);
}

function openHoldsOf(state: LedgerState, walletId: string): Readonly<Hold>[] {
  return [...state.holds.values()].filter((hold) => hold.walletId === walletId && hold.state === "open");
}

function total<T>(rows: readonly T[], amount: (row: T) => bigint): bigint {
  return rows.reduce((sum, row) => sum + amount(row), 0n);
}

function isBacking(lot: Readonly<Lot>, ordinal: number): boolean {
  return lot.expiredAfterHold === null || ordinal <= lot.expiredAfterHold;
}

function brokenWallet({ after }: Step, wallet: Readonly<Wallet>): string[] {
  const rules: string[] = [];
  const holds = openHoldsOf(after, wallet.id);
  const lots = lotsOf(after, wallet.id);
  if (wallet.heldNanos !== total(holds, (hold) => hold.amountNanos)) rules.push("held is the sum of the open holds");
  const debt = total(lots, (lot) => lot.remainingNanos) - wallet.balanceNanos;
  if (debt < 0n) rules.push("no balance without a lot");
  const expired = lots.filter((lot) => lot.expiredAfterHold !== null);
  if (debt > 0n && lots.length > expired.length) rules.push("a debt is repaid before credit can be used");
  for (const { expiredAfterHold } of expired) {
    const end = expiredAfterHold ?? 0;
    const kept = total(expired, (lot) => ((lot.expiredAfterHold ?? 0) <= end ? lot.remainingNanos : 0n));
    const needed = total(holds, (hold) => (hold.ordinal <= end ? hold.amountNanos : 0n));
    if (kept > needed) rules.push("an expired lot is kept only for older holds");
  }
  const owned = wallet.balanceNanos > 0n ? wallet.balanceNanos : 0n;
  if (wallet.floorNanos === 0n && debt + wallet.balanceNanos !== owned) rules.push("without a floor lots add up to the balance");
  if (!FLOORED.has(wallet.id)) return rules;
  if (wallet.balanceNanos - wallet.heldNanos < wallet.floorNanos) rules.push("no overdraft");
  if (debt > -wallet.floorNanos) rules.push("no debt below the floor");
  for (const { ordinal } of holds) {
    const needed = total(holds, (hold) => (hold.ordinal >= ordinal ? hold.amountNanos : 0n));
    const usable = total(lots, (lot) => (isBacking(lot, ordinal) ? lot.remainingNanos : 0n));
    if (needed > usable - debt - wallet.floorNanos) rules.push("every open hold can be charged in full from lots alive when it was made");
  }
  return rules;
}

function brokenByRepeat({ result, changes }: Step): string[] {
  const isQuiet = changes.transfers.every((transfer) => transfer.code === "expire") && changes.holds.added.length === 0;
  return isQuiet || (result.ok && !result.isRepeat) ? [] : ["a repeated or refused operation moves nothing"];
}

function brokenByAdmission({ operation, result, after }: Step): string[] {
  if (operation.kind !== "hold" && operation.kind !== "extend") return [];
  if (!result.ok) {
    const asked = operation.kind === "hold" ? operation.amountNanos : operation.toNanos;
    const isShort = result.code !== "insufficient_credits" || (result.availableNanos ?? 0n) < asked;
    return isShort ? [] : ["only what is not there is refused"];
  }
  if (result.isRepeat) return [];
  const windows = after.holds.get(operation.id)?.windowIds.flatMap((id) => after.windows.get(id) ?? []) ?? [];
  const isOver = windows.some((window) => window.spentNanos + window.heldNanos > (after.budgets.get(window.budgetId)?.capNanos ?? 0n));
  return isOver ? ["a budget admits only what fits its cap"] : [];
}

function brokenByEnd({ operation, result, changes, after }: Step): string[] {
  if ((operation.kind !== "settle" && operation.kind !== "correct") || !result.ok || result.isRepeat || result.hold === null) return [];
  const rules: string[] = [];
  const { chargedNanos, writtenOffNanos } = result.hold;
  if ((chargedNanos ?? 0n) + writtenOffNanos !== operation.costNanos) rules.push("charged and written off make the cost");
  const wallet = changes.wallets.changed[0]?.after;
  if (wallet === undefined || !FLOORED.has(wallet.id) || writtenOffNanos === 0n) return rules;
  // The last sweep may take what the ended hold had kept, never more than brings the wallet to its floor.
  const swept = total(
    changes.transfers.filter((transfer) => transfer.code === "expire"),
    (transfer) => transfer.amountNanos,
  );
  const left = wallet.balanceNanos - wallet.heldNanos - wallet.floorNanos;
  if (left > 0n && swept === 0n && after.wallets.has(wallet.id)) rules.push("written off is only what there is no room for");
  return rules;
}

function brokenByMove({ after, changes }: Step, transferId: string, lotId: string, deltaNanos: bigint): string[] {
  const transfer = after.transfers.get(transferId);
  const lot = after.lots.get(lotId);
  if (transfer === undefined || lot === undefined) return ["a lot move has a transfer and a lot"];
  if (transfer.walletId !== lot.walletId) return ["a transfer moves lots of its own wallet"];
  if (transfer.code === "refund_reserve" && lot.kind !== "paid") return ["given credit is never paid back"];
  if ((transfer.code !== "usage" && transfer.code !== "usage_promo") || deltaNanos > 0n) return [];
  const hold = after.holds.get(transfer.holdId ?? "");
  if (hold === undefined || !isBacking(lot, hold.ordinal)) return ["a hold uses only lots that were alive when it was made"];
  if ((lot.kind === "paid") !== (transfer.code === "usage")) return ["bought and given credit are told apart"];
  const isPassedOver = (other: Readonly<Lot>): boolean =>
    other.expiredAfterHold === null && other.priority < lot.priority && !changes.lots.added.includes(other);
  const isInOrder = lot.expiredAfterHold !== null || !lotsOf(after, lot.walletId).some(isPassedOver);
  return isInOrder ? [] : ["lots are used by priority"];
}
