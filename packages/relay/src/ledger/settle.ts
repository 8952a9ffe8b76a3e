/** How holds end: settled, voided, recovered, and corrected afterwards. */
import { availableIn, done, netOutcome, outcomeOf, refuse, walletOfHold } from "./results.ts";
import type { UnitOfWork } from "./unit-of-work.ts";
import { settlementOf } from "./unit-of-work.ts";
import { windowsOf } from "./hold.ts";
import { giveBack, portionsOf, sweepExpired } from "./lots.ts";
import type { Portion } from "./lots.ts";
import { greater, isAmount, lesser } from "./nanos.ts";
import type { Clock, OperationOf, Result, SettleOperation } from "./operation.ts";
import { idempotencyId } from "./state.ts";
import type { Basis, Correction, Hold, HoldState, TransferCode, Wallet } from "./state.ts";

/** A second settlement of a settled hold gets the first one's outcome: its answer was lost. */
export function decideSettle(draft: UnitOfWork, operation: SettleOperation, clock: Clock): Result {
  if (!isAmount(operation.costNanos)) return refuse("invalid_amount");
  const hold = draft.holds.get(operation.id);
  if (hold === undefined) return refuse("hold_unknown");
  if (hold.state === "settled") return done(walletOfHold(draft, hold), netOutcome(draft, hold), true);
  if (hold.state !== "open") return refuse("not_open", { hold: netOutcome(draft, hold) });
  hold.inputTokens = operation.inputTokens;
  hold.outputTokens = operation.outputTokens;
  return endHold(
    draft,
    hold,
    { state: "settled", costNanos: operation.costNanos, basis: operation.basis, reason: operation.endReason },
    clock,
  );
}

/** Nothing was delivered: nothing is charged, and the client may use its Idempotency-Key again. */
export function decideVoid(draft: UnitOfWork, operation: OperationOf<"void">, clock: Clock): Result {
  const hold = draft.holds.get(operation.id);
  if (hold === undefined) return refuse("hold_unknown");
  if (hold.state === "voided") return done(walletOfHold(draft, hold), netOutcome(draft, hold), true);
  if (hold.state !== "open") return refuse("not_open", { hold: netOutcome(draft, hold) });
  freeKey(draft, hold);
  return endHold(draft, hold, { state: "voided", costNanos: 0n, basis: "none", reason: operation.endReason }, clock);
}

/** Unless another request has it by now. */
function freeKey(draft: UnitOfWork, hold: Hold): void {
  if (hold.idempotencyKey === null) return;
  const id = idempotencyId(hold.accountId, hold.idempotencyKey);
  if ((draft.findIdempotency(id)?.holdId ?? hold.id) !== hold.id) return;
  draft.freeIdempotency(id, hold.accountId, hold.idempotencyKey, hold.id);
}

/**
 * What a dead process left is charged at its last checkpoint, never above the hold; without one it costs nothing, and the
 * client may use its Idempotency-Key again.
 */
export function recoverHold(draft: UnitOfWork, hold: Hold, clock: Clock): void {
  const costNanos = lesser(hold.checkpointNanos, hold.amountNanos);
  if (costNanos === 0n) freeKey(draft, hold);
  endHold(
    draft,
    hold,
    { state: "recovered", costNanos, basis: hold.checkpointSeq === 0 ? "none" : "checkpoint", reason: "relay_stopped" },
    clock,
  );
}

interface End {
  readonly state: Exclude<HoldState, "open">;
  readonly costNanos: bigint;
  readonly basis: Basis;
  readonly reason: string;
}

/**
 * Charges what there is room for (the balance without what other holds set aside, down to the floor); the rest is written
 * off, so that one request's overage never eats another's hold.
 */
function endHold(draft: UnitOfWork, hold: Hold, end: End, clock: Clock): Result {
  const wallet = walletOfHold(draft, hold);
  if (wallet !== null) sweepExpired(draft, wallet, clock.nowMs);
  const roomNanos = wallet === null ? end.costNanos : greater(availableIn(wallet) + hold.amountNanos, 0n);
  const chargedNanos = lesser(end.costNanos, roomNanos);
  hold.state = end.state;
  hold.chargedNanos = chargedNanos;
  hold.writtenOffNanos = end.costNanos - chargedNanos;
  hold.basis = end.basis;
  hold.endReason = end.reason;
  // A clock that was set back must not make an end that precedes its beginning.
  hold.closedAtMs = Math.max(clock.nowMs, hold.createdAtMs);
  for (const window of windowsOf(draft, hold)) {
    window.heldNanos -= hold.amountNanos;
    window.spentNanos += chargedNanos;
  }
  if (wallet === null) return done(null, outcomeOf(hold));
  wallet.heldNanos -= hold.amountNanos;
  charge(draft, wallet, hold, chargedNanos, clock.nowMs);
  sweepExpired(draft, wallet, clock.nowMs);
  return done(wallet, outcomeOf(hold));
}

/** One transfer for bought credit and one for given credit, so that revenue can be told from promotion. */
function charge(draft: UnitOfWork, wallet: Wallet, hold: Hold, nanos: bigint, nowMs: number): void {
  const portions = portionsOf(draft, wallet.id, nanos, hold.ordinal);
  const given = portions.filter((portion) => portion.lot.kind !== "paid");
  const givenNanos = sum(given);
  const cause = settlementOf(hold.id);
  pay(draft, wallet, { id: `${cause}:promo`, cause, code: "usage_promo", nanos: givenNanos, portions: given }, hold, nowMs);
  const bought = portions.filter((portion) => portion.lot.kind === "paid");
  pay(draft, wallet, { id: cause, cause, code: "usage", nanos: nanos - givenNanos, portions: bought }, hold, nowMs);
}

function sum(portions: readonly Portion[]): bigint {
  return portions.reduce((total, portion) => total + portion.nanos, 0n);
}

interface WalletPayment {
  readonly id: string;
  readonly cause: string;
  readonly code: TransferCode;
  readonly nanos: bigint;
  readonly portions: readonly Portion[];
}

function pay(draft: UnitOfWork, wallet: Wallet, payment: WalletPayment, hold: Hold, nowMs: number): void {
  if (payment.nanos === 0n) return;
  draft.transfer(wallet, -payment.nanos, { ...payment, counterpart: "revenue", holdId: hold.id, createdAtMs: nowMs });
  for (const { lot, nanos } of payment.portions) draft.moveLot(lot, -nanos, payment.id);
}

/** The exact cost, known too late: the difference moves once, and the settlement stays as it was. */
export function decideCorrect(draft: UnitOfWork, operation: OperationOf<"correct">, clock: Clock): Result {
  if (!isAmount(operation.costNanos)) return refuse("invalid_amount");
  const hold = draft.holds.get(operation.id);
  if (hold === undefined) return refuse("hold_unknown");
  const wallet = walletOfHold(draft, hold);
  const earlier = draft.corrections.get(hold.id);
  if (earlier !== undefined) return repeatedCorrection(earlier, operation, hold, wallet);
  if (hold.chargedNanos === null || hold.state === "voided") return refuse("not_closed", { hold: outcomeOf(hold) });
  if (wallet !== null) sweepExpired(draft, wallet, clock.nowMs);
  const correction = correctionOf(hold, hold.chargedNanos, operation.costNanos, wallet, clock.nowMs);
  draft.corrections.add(correction);
  if (operation.freesKey === true) freeKey(draft, hold);
  for (const window of windowsOf(draft, hold)) window.spentNanos += correction.deltaNanos;
  if (wallet !== null) moveCorrection(draft, wallet, hold, correction.deltaNanos, clock.nowMs);
  return done(wallet, outcomeOf(hold, correction));
}

function repeatedCorrection(earlier: Correction, operation: OperationOf<"correct">, hold: Hold, wallet: Wallet | null): Result {
  if (earlier.costNanos !== operation.costNanos) return refuse("corrected_already", { hold: outcomeOf(hold, earlier) });
  return done(wallet, outcomeOf(hold, earlier), true);
}

function correctionOf(hold: Hold, chargedNanos: bigint, costNanos: bigint, wallet: Wallet | null, nowMs: number): Correction {
  const roomNanos = wallet === null ? costNanos : greater(availableIn(wallet), 0n);
  const netNanos = lesser(costNanos, chargedNanos + roomNanos);
  return {
    id: hold.id,
    costNanos,
    deltaNanos: netNanos - chargedNanos,
    writtenOffNanos: costNanos - netNanos,
    createdAtMs: nowMs,
  };
}

function moveCorrection(draft: UnitOfWork, wallet: Wallet, hold: Hold, deltaNanos: bigint, nowMs: number): void {
  if (deltaNanos === 0n) return;
  const id = `correct:${hold.id}`;
  const payment: WalletPayment = { id, cause: id, code: "correction", nanos: deltaNanos, portions: [] };
  if (deltaNanos > 0n) {
    const portions = portionsOf(draft, wallet.id, deltaNanos, hold.ordinal);
    pay(draft, wallet, { ...payment, portions }, hold, nowMs);
  } else {
    pay(draft, wallet, payment, hold, nowMs);
    const origins = draft.settledMoves(hold.id).flatMap((move): Portion[] => {
      const lot = draft.lots.get(move.lotId);
      return lot === undefined ? [] : [{ lot, nanos: -move.deltaNanos }];
    });
    giveBack(draft, wallet, -deltaNanos, origins, { transferId: id, nowMs });
  }
  sweepExpired(draft, wallet, nowMs);
}
