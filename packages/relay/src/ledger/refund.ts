/** Money paid back. The credit leaves the wallet before the provider is asked, so it cannot be spent meanwhile. */
import { availableIn, done, refuse } from "./results.ts";
import type { UnitOfWork } from "./unit-of-work.ts";
import { giveBack, sweepExpired } from "./lots.ts";
import { isAmount } from "./nanos.ts";
import type { Clock, OperationOf, Result } from "./operation.ts";
import { walletIdOf } from "./state.ts";

/** Bounded by what is left of the lot that was bought, and by what open holds leave free. */
export function decideReserveRefund(draft: UnitOfWork, operation: OperationOf<"reserve_refund">, clock: Clock): Result {
  const { id, amountNanos, actor } = operation;
  const wallet = draft.wallets.get(walletIdOf(operation.accountId));
  if (wallet === undefined) return refuse("account_unknown");
  const lotId = `lot:${operation.reference}`;
  const earlier = draft.refunds.get(id);
  if (earlier !== undefined)
    return earlier.lotId === lotId && earlier.amountNanos === amountNanos ? done(wallet, null, true) : refuse("reference_used");
  if (amountNanos === 0n || !isAmount(amountNanos)) return refuse("invalid_amount");
  sweepExpired(draft, wallet, clock.nowMs);
  const lot = draft.lots.get(lotId);
  if (lot === undefined || lot.walletId !== wallet.id || !lot.isRefundable || lot.remainingNanos < amountNanos)
    return refuse("not_refundable");
  if (availableIn(wallet) < amountNanos) return refuse("insufficient_credits", { availableNanos: availableIn(wallet) });
  const transferId = `refund:${id}`;
  draft.transfer(wallet, -amountNanos, {
    id: transferId,
    cause: transferId,
    code: "refund_reserve",
    counterpart: "refund_clearing",
    actor,
    createdAtMs: clock.nowMs,
  });
  draft.moveLot(lot, -amountNanos, transferId);
  draft.refunds.add({
    id,
    lotId,
    walletId: wallet.id,
    amountNanos,
    state: "reserved",
    actor,
    createdAtMs: clock.nowMs,
    closedAtMs: null,
  });
  return done(wallet);
}

/** Sent, or given back to the lot it came from. */
export function decideFinishRefund(draft: UnitOfWork, operation: OperationOf<"finish_refund">, clock: Clock): Result {
  const refund = draft.refunds.get(operation.id);
  if (refund === undefined) return refuse("refund_unknown");
  const wallet = draft.wallets.get(refund.walletId);
  if (wallet === undefined) return refuse("account_unknown");
  if (refund.state !== "reserved") return refund.state === operation.outcome ? done(wallet, null, true) : refuse("not_open");
  refund.state = operation.outcome;
  refund.closedAtMs = Math.max(clock.nowMs, refund.createdAtMs);
  const cause = `refund:${refund.id}`;
  if (operation.outcome === "done") {
    draft.transfers.add({
      id: `${cause}:done`,
      cause,
      debit: "refund_clearing",
      credit: "cash",
      amountNanos: refund.amountNanos,
      code: "refund_done",
      walletId: null,
      walletSeq: null,
      balanceAfterNanos: null,
      holdId: null,
      reason: null,
      actor: refund.actor,
      createdAtMs: clock.nowMs,
    });
    return done(wallet);
  }
  const id = `${cause}:undo`;
  draft.transfer(wallet, refund.amountNanos, {
    id,
    cause,
    code: "refund_undo",
    counterpart: "refund_clearing",
    createdAtMs: clock.nowMs,
  });
  const lot = draft.lots.get(refund.lotId);
  const origins = lot === undefined ? [] : [{ lot, nanos: refund.amountNanos }];
  giveBack(draft, wallet, refund.amountNanos, origins, { transferId: id, nowMs: clock.nowMs });
  sweepExpired(draft, wallet, clock.nowMs);
  return done(wallet);
}
