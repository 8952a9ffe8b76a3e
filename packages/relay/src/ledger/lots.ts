/**
 * Lots: which credit is used first, and what becomes of credit that expires.
 *
 * A hold may use every lot that was alive when the hold was made. So an expired lot keeps what older open holds may still
 * need of it, and no more: a sweep comes before and after everything that changes a wallet.
 */
import type { UnitOfWork } from "./unit-of-work.ts";
import { greater, lesser } from "./nanos.ts";
import type { Lot, Wallet } from "./state.ts";

/** Whether the wallet's hold of that ordinal may use the lot. */
function isOpenTo(lot: Lot, ordinal: number): boolean {
  return lot.expiredAfterHold === null || ordinal <= lot.expiredAfterHold;
}

/**
 * The order in which lots are used: by priority (promotions first), then the earliest expiry, then the oldest. Expired lots
 * that are kept for older holds go before all others: they serve nobody else, and what an older hold would take from a
 * living lot instead may already back a newer hold.
 */
function inOrderOfUse(a: Lot, b: Lot): number {
  if (a.expiredAfterHold !== null || b.expiredAfterHold !== null) return byEnd(a, b) || byAge(a, b);
  return a.priority - b.priority || byExpiry(a, b) || byAge(a, b);
}

/** What ended first serves the fewest holds, so it is used and kept first. */
function byEnd(a: Lot, b: Lot): number {
  return difference(a.expiredAfterHold ?? Infinity, b.expiredAfterHold ?? Infinity);
}

function byExpiry(a: Lot, b: Lot): number {
  return difference(a.expiresAtMs ?? Infinity, b.expiresAtMs ?? Infinity);
}

function byAge(a: Lot, b: Lot): number {
  return a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1);
}

/** Of two Infinities too. */
function difference(a: number, b: number): number {
  return a === b ? 0 : a - b;
}

export interface Portion {
  readonly lot: Lot;
  readonly nanos: bigint;
}

/**
 * Splits an amount over the lots that a hold may use. What no lot covers is missing in the answer: it makes a debt,
 * bounded by the floor (or made by an operator), that the next credit repays.
 */
export function portionsOf(draft: UnitOfWork, walletId: string, nanos: bigint, ordinal: number): Portion[] {
  const usable = draft.lotsOf(walletId).filter((lot) => lot.remainingNanos > 0n && isOpenTo(lot, ordinal));
  const portions: Portion[] = [];
  let left = nanos;
  for (const lot of usable.toSorted(inOrderOfUse)) {
    if (left === 0n) break;
    const taken = lesser(lot.remainingNanos, left);
    portions.push({ lot, nanos: taken });
    left -= taken;
  }
  return portions;
}

/** What had been spent beyond all lots before the gain came; 0 in a wallet that never went below zero. */
function debtBefore(draft: UnitOfWork, wallet: Wallet, gainNanos: bigint): bigint {
  const inLots = draft.lotsOf(wallet.id).reduce((sum, lot) => sum + lot.remainingNanos, 0n);
  return greater(inLots - (wallet.balanceNanos - gainNanos), 0n);
}

/** A credit's new lot. What the wallet owes is repaid from it at once. To be called after the transfer. */
export function bearLot(
  draft: UnitOfWork,
  wallet: Wallet,
  lot: Omit<Lot, "remainingNanos" | "isUsedUp" | "walletId">,
  transferId: string,
): void {
  const repaid = lesser(debtBefore(draft, wallet, lot.amountNanos), lot.amountNanos);
  const born = { ...lot, walletId: wallet.id, remainingNanos: lot.amountNanos, isUsedUp: false };
  draft.addLot(born);
  draft.moveLot(born, -repaid, transferId);
}

/**
 * Gives credit back to the lots it came from, latest used first, after the wallet's debt. What finds no place becomes a lot
 * of its own. To be called after the transfer, with the gain that it brought.
 */
export function giveBack(
  draft: UnitOfWork,
  wallet: Wallet,
  gainNanos: bigint,
  origins: readonly Portion[],
  source: { readonly transferId: string; readonly nowMs: number },
): void {
  let left = gainNanos - lesser(debtBefore(draft, wallet, gainNanos), gainNanos);
  for (const { lot, nanos } of origins.toSorted((a, b) => inOrderOfUse(b.lot, a.lot))) {
    const back = lesser(lesser(nanos, left), lot.amountNanos - lot.remainingNanos);
    draft.moveLot(lot, back, source.transferId);
    left -= back;
  }
  if (left > 0n) draft.addLot(strayLot(wallet.id, left, source));
}

function strayLot(walletId: string, nanos: bigint, source: { readonly transferId: string; readonly nowMs: number }): Lot {
  return {
    id: `lot:${source.transferId}`,
    walletId,
    kind: "comp",
    reference: source.transferId,
    amountNanos: nanos,
    remainingNanos: nanos,
    isUsedUp: false,
    priority: 100,
    isRefundable: false,
    expiresAtMs: null,
    expiredAfterHold: null,
    createdAtMs: source.nowMs,
  };
}

/**
 * Takes what has expired out of the wallet, except what open holds made before the expiry may still need, counted once
 * across lots. An expired lot stays expired when the clock is set back.
 */
export function sweepExpired(draft: UnitOfWork, wallet: Wallet, nowMs: number): void {
  const expired = draft.lotsOf(wallet.id).filter((lot) => lot.remainingNanos > 0n && markExpired(lot, wallet, nowMs));
  if (expired.length === 0) return;
  const holds = draft.openHoldsOf(wallet.id);
  let kept = 0n;
  for (const lot of expired.toSorted((a, b) => byEnd(a, b) || byAge(a, b))) {
    const needed = holds.reduce((sum, hold) => (isOpenTo(lot, hold.ordinal) ? sum + hold.amountNanos : sum), 0n) - kept;
    const keep = lesser(lot.remainingNanos, greater(needed, 0n));
    kept += keep;
    if (lot.remainingNanos > keep) forfeit(draft, wallet, lot, lot.remainingNanos - keep, nowMs);
  }
}

/** Whether the lot has expired, now or before. */
function markExpired(lot: Lot, wallet: Wallet, nowMs: number): boolean {
  if (lot.expiresAtMs !== null && lot.expiresAtMs <= nowMs) lot.expiredAfterHold ??= wallet.holdCount;
  return lot.expiredAfterHold !== null;
}

function forfeit(draft: UnitOfWork, wallet: Wallet, lot: Lot, nanos: bigint, nowMs: number): void {
  // One lot may expire in parts; the wallet's count of transfers tells them apart.
  const id = `expire:${lot.id}:${wallet.seq + 1}`;
  draft.transfer(wallet, -nanos, { id, cause: id, code: "expire", counterpart: "breakage", createdAtMs: nowMs });
  draft.moveLot(lot, -nanos, id);
}
