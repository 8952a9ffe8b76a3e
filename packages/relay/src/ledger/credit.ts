/** Credit that comes in, corrections by hand, and the settings of wallets and budgets. */
import { done, refuse } from "./results.ts";
import type { UnitOfWork } from "./unit-of-work.ts";
import { bearLot, portionsOf, sweepExpired } from "./lots.ts";
import { isAmount, NANOS_MAX } from "./nanos.ts";
import type { Clock, CreditOperation, OperationOf, Result } from "./operation.ts";
import { walletIdOf } from "./state.ts";
import type { LotKind, PlatformAccount, Transfer, TransferCode } from "./state.ts";

const SOURCES: Readonly<Record<LotKind, { readonly code: TransferCode; readonly from: PlatformAccount }>> = {
  paid: { code: "topup", from: "cash" },
  promo: { code: "promo", from: "promo_cost" },
  comp: { code: "comp", from: "promo_cost" },
};

export function decideOpenWallet(draft: UnitOfWork, operation: OperationOf<"open_wallet">): Result {
  if (!isFloor(operation.floorNanos)) return refuse("invalid_amount");
  const id = walletIdOf(operation.accountId);
  const known = draft.wallets.get(id);
  if (known !== undefined) return done(known, null, true);
  const { accountId, floorNanos } = operation;
  return done(draft.wallets.add({ id, accountId, floorNanos, balanceNanos: 0n, heldNanos: 0n, status: "active", seq: 0, holdCount: 0 }));
}

export function decideSetWallet(draft: UnitOfWork, operation: OperationOf<"set_wallet">): Result {
  if (operation.floorNanos !== undefined && !isFloor(operation.floorNanos)) return refuse("invalid_amount");
  const wallet = draft.wallets.get(walletIdOf(operation.accountId));
  if (wallet === undefined) return refuse("account_unknown");
  wallet.floorNanos = operation.floorNanos ?? wallet.floorNanos;
  wallet.status = operation.status ?? wallet.status;
  return done(wallet);
}

/** Before the first hold: no lot had expired by then. */
const EVERY_LOT = 0;

function isFloor(nanos: bigint): boolean {
  return nanos <= 0n && isAmount(-nanos);
}

/** A new cap counts at once, in the window that runs too. */
export function decideSetBudget(draft: UnitOfWork, operation: OperationOf<"set_budget">): Result {
  if (!isAmount(operation.capNanos)) return refuse("invalid_amount");
  const { id, scope, period, capNanos } = operation;
  const known = draft.budgets.get(id);
  if (known === undefined) draft.budgets.add({ id, scope, period, capNanos });
  else Object.assign(known, { period, capNanos });
  return done(null);
}

export function decideCredit(draft: UnitOfWork, operation: CreditOperation, clock: Clock): Result {
  const { amountNanos, lotKind, reference, expiresAtMs } = operation;
  const wallet = draft.wallets.get(walletIdOf(operation.accountId));
  if (wallet === undefined) return refuse("account_unknown");
  const id = `credit:${reference}`;
  const { code, from } = SOURCES[lotKind];
  const earlier = draft.transfers.get(id);
  if (earlier !== undefined) {
    const isSame = earlier.walletId === wallet.id && earlier.amountNanos === amountNanos && earlier.code === code;
    return isSame ? done(wallet, null, true) : refuse("reference_used");
  }
  if (operation.isClosed === true) return refuse("account_suspended");
  const isPayable = amountNanos > 0n && isAmount(amountNanos) && wallet.balanceNanos + amountNanos <= NANOS_MAX;
  if (!isPayable || (expiresAtMs !== null && expiresAtMs <= clock.nowMs)) return refuse("invalid_amount");
  if (operation.isRefundable && lotKind !== "paid") return refuse("not_refundable");
  sweepExpired(draft, wallet, clock.nowMs);
  const { reason, actor, priority, isRefundable } = operation;
  const debt = { id, cause: id, code, counterpart: from, reason, actor, createdAtMs: clock.nowMs };
  bearLot(
    draft,
    wallet,
    {
      id: `lot:${reference}`,
      kind: lotKind,
      reference,
      amountNanos,
      priority,
      isRefundable,
      expiresAtMs,
      expiredAfterHold: null,
      createdAtMs: clock.nowMs,
    },
    draft.transfer(wallet, amountNanos, debt).id,
  );
  return done(wallet);
}

/** Down takes from all lots, those kept for open holds too: the floor then leaves those holds less room. */
export function decideAdjust(draft: UnitOfWork, operation: OperationOf<"adjust">, clock: Clock): Result {
  const { deltaNanos, reference, reason, actor } = operation;
  const wallet = draft.wallets.get(walletIdOf(operation.accountId));
  if (wallet === undefined) return refuse("account_unknown");
  const id = `adjust:${reference}`;
  const earlier = draft.transfers.get(id);
  if (earlier !== undefined)
    return earlier.walletId === wallet.id && gainOf(earlier) === deltaNanos ? done(wallet, null, true) : refuse("reference_used");
  if (operation.isClosed === true && deltaNanos > 0n) return refuse("account_suspended");
  const size = deltaNanos < 0n ? -deltaNanos : deltaNanos;
  const after = wallet.balanceNanos + deltaNanos;
  if (size === 0n || !isAmount(size) || after > NANOS_MAX || after < -NANOS_MAX) return refuse("invalid_amount");
  sweepExpired(draft, wallet, clock.nowMs);
  const portions = deltaNanos < 0n ? portionsOf(draft, wallet.id, size, EVERY_LOT) : [];
  draft.transfer(wallet, deltaNanos, { id, cause: id, code: "adjust", counterpart: "adjust", reason, actor, createdAtMs: clock.nowMs });
  for (const { lot, nanos } of portions) draft.moveLot(lot, -nanos, id);
  if (deltaNanos > 0n) {
    const lot = { id: `lot:${id}`, kind: "comp", reference: id, amountNanos: size, priority: 100 } as const;
    bearLot(draft, wallet, { ...lot, isRefundable: false, expiresAtMs: null, expiredAfterHold: null, createdAtMs: clock.nowMs }, id);
  }
  return done(wallet);
}

function gainOf(transfer: Readonly<Transfer>): bigint {
  return transfer.credit === transfer.walletId ? transfer.amountNanos : -transfer.amountNanos;
}

export function decideExpireLots(draft: UnitOfWork, operation: OperationOf<"expire_lots">, clock: Clock): Result {
  const wallet = draft.wallets.get(walletIdOf(operation.accountId));
  if (wallet === undefined) return refuse("account_unknown");
  sweepExpired(draft, wallet, clock.nowMs);
  return done(wallet);
}
