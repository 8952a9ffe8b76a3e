/** Setting money aside, setting more aside, and noting how far a stream has come. */
import { DAY_MS } from "@millrace/wire/duration";
import { availableIn, done, netOutcome, outcomeOf, refuse, walletOfHold } from "./results.ts";
import { rowsOf } from "./unit-of-work.ts";
import type { UnitOfWork } from "./unit-of-work.ts";
import { sweepExpired } from "./lots.ts";
import { isAmount } from "./nanos.ts";
import type { Clock, HoldOperation, OperationOf, Refused, Result } from "./operation.ts";
import { idempotencyId, walletIdOf, windowIdOf } from "./state.ts";
import type { BudgetWindow, Hold, Wallet } from "./state.ts";
import { windowAt } from "./window.ts";

/** How long an Idempotency-Key stands for its request. */
const IDEMPOTENCY_MS = DAY_MS;

/** Whether this process may make or raise holds: nobody ended its epoch, and its lease runs. */
function mayHold(draft: UnitOfWork, clock: Clock): boolean {
  const node = draft.nodes.get(clock.node);
  return node !== undefined && node.epoch === clock.epoch && node.leaseUntilMs > clock.nowMs;
}

export function decideHold(draft: UnitOfWork, operation: HoldOperation, clock: Clock): Result {
  if (!isAmount(operation.amountNanos)) return refuse("invalid_amount");
  const earlier = draft.holds.get(operation.id);
  if (earlier !== undefined) return repeatedHold(draft, earlier, operation);
  if (!mayHold(draft, clock)) return refuse("stale_epoch");
  const taken = idempotencyRefusal(draft, operation, clock.nowMs);
  if (taken !== null) return taken;
  const wallet = operation.isMetered ? draft.wallets.get(walletIdOf(operation.accountId)) : null;
  if (wallet === undefined) return refuse("account_unknown");
  if (wallet !== null) sweepExpired(draft, wallet, clock.nowMs);
  const windows = currentWindows(draft, operation.budgetIds, clock.nowMs);
  if (windows === null) return refuse("budget_unknown");
  const short = shortage(draft, wallet, windows, operation.amountNanos);
  if (short !== null) return short;
  const hold = open(draft, operation, wallet, windows, clock);
  return done(wallet, outcomeOf(hold));
}

/** Asked again after an answer was lost: the first answer. Anything else under that id is a collision. */
function repeatedHold(draft: UnitOfWork, earlier: Hold, operation: HoldOperation): Result {
  const isSame =
    earlier.state === "open" &&
    earlier.accountId === operation.accountId &&
    earlier.keyId === operation.keyId &&
    earlier.idempotencyKey === (operation.idempotency?.key ?? null) &&
    earlier.amountNanos >= operation.amountNanos;
  if (!isSame) return refuse("hold_exists", { hold: netOutcome(draft, earlier) });
  return done(walletOfHold(draft, earlier), outcomeOf(earlier), true);
}

function idempotencyRefusal(draft: UnitOfWork, operation: HoldOperation, nowMs: number): Refused | null {
  if (operation.idempotency === undefined) return null;
  const entry = draft.findIdempotency(idempotencyId(operation.accountId, operation.idempotency.key));
  if (entry === undefined || entry.createdAtMs + IDEMPOTENCY_MS <= nowMs) return null;
  const hold = draft.holds.get(entry.holdId);
  const more = hold === undefined ? {} : { hold: netOutcome(draft, hold) };
  if (entry.bodySha256 !== operation.idempotency.bodySha256) return refuse("idempotency_mismatch", more);
  return refuse((hold?.state ?? entry.holdState) === "open" ? "idempotency_in_progress" : "idempotency_finished", more);
}

/** Today's window of each budget, new or not, always in the same order; null when there is no such budget. */
function currentWindows(draft: UnitOfWork, budgetIds: readonly string[], nowMs: number): BudgetWindow[] | null {
  const windows: BudgetWindow[] = [];
  for (const budgetId of new Set(budgetIds)) {
    const budget = draft.budgets.get(budgetId);
    if (budget === undefined) return null;
    const { startMs } = windowAt(budget.period, nowMs);
    const id = windowIdOf(budgetId, startMs);
    windows.push(draft.windows.get(id) ?? { id, budgetId, startMs, spentNanos: 0n, heldNanos: 0n });
  }
  return windows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** Why `moreNanos` cannot be set aside, or null. */
function shortage(draft: UnitOfWork, wallet: Wallet | null, windows: readonly BudgetWindow[], moreNanos: bigint): Refused | null {
  if (wallet !== null && wallet.status !== "active") return refuse("account_suspended");
  if (wallet !== null && availableIn(wallet) < moreNanos) return refuse("insufficient_credits", { availableNanos: availableIn(wallet) });
  for (const window of windows) {
    const budget = draft.budgets.get(window.budgetId);
    if (budget === undefined) return refuse("budget_unknown");
    const leftNanos = budget.capNanos - window.spentNanos - window.heldNanos;
    if (leftNanos >= moreNanos) continue;
    return refuse("budget_exceeded", {
      availableNanos: leftNanos,
      budget: { id: budget.id, resetsAtMs: windowAt(budget.period, window.startMs).endMs },
    });
  }
  return null;
}

function open(draft: UnitOfWork, operation: HoldOperation, wallet: Wallet | null, windows: readonly BudgetWindow[], clock: Clock): Hold {
  const hold: Hold = {
    id: operation.id,
    accountId: operation.accountId,
    walletId: wallet?.id ?? null,
    keyId: operation.keyId,
    model: operation.model,
    mode: operation.mode,
    priceId: operation.priceId,
    node: clock.node,
    epoch: clock.epoch,
    idempotencyKey: operation.idempotency?.key ?? null,
    createdAtMs: clock.nowMs,
    windowIds: windows.map((window) => window.id),
    ordinal: wallet === null ? 0 : ++wallet.holdCount,
    amountNanos: 0n,
    state: "open",
    checkpointSeq: 0,
    checkpointNanos: 0n,
    inputTokens: 0,
    outputTokens: 0,
    chargedNanos: null,
    basis: null,
    endReason: null,
    closedAtMs: null,
    writtenOffNanos: 0n,
  };
  for (const window of windows) if (draft.windows.get(window.id) === undefined) draft.windows.add(window);
  draft.addHold(hold);
  raise(hold, wallet, windows, operation.amountNanos);
  takeKey(draft, operation, clock.nowMs);
  return hold;
}

function raise(hold: Hold, wallet: Wallet | null, windows: readonly BudgetWindow[], moreNanos: bigint): void {
  hold.amountNanos += moreNanos;
  if (wallet !== null) wallet.heldNanos += moreNanos;
  for (const window of windows) window.heldNanos += moreNanos;
}

function takeKey(draft: UnitOfWork, operation: HoldOperation, nowMs: number): void {
  if (operation.idempotency === undefined) return;
  const { key, bodySha256 } = operation.idempotency;
  const id = idempotencyId(operation.accountId, key);
  const old = draft.findIdempotency(id);
  if (old !== undefined) draft.freeIdempotency(id, old.accountId, old.key, old.holdId);
  draft.takeIdempotency({
    id,
    accountId: operation.accountId,
    key,
    holdId: operation.id,
    bodySha256,
    createdAtMs: nowMs,
    holdState: "open",
  });
}

/** More for a running stream, in the windows the hold began in. */
export function decideExtend(draft: UnitOfWork, operation: OperationOf<"extend">, clock: Clock): Result {
  if (!isAmount(operation.toNanos)) return refuse("invalid_amount");
  const hold = draft.holds.get(operation.id);
  if (hold === undefined) return refuse("hold_unknown");
  if (hold.state !== "open") return refuse("not_open", { hold: netOutcome(draft, hold) });
  if (!mayHold(draft, clock) || hold.node !== clock.node || hold.epoch !== clock.epoch) return refuse("stale_epoch");
  const wallet = walletOfHold(draft, hold);
  if (wallet !== null) sweepExpired(draft, wallet, clock.nowMs);
  const moreNanos = operation.toNanos - hold.amountNanos;
  if (moreNanos <= 0n) return done(wallet, outcomeOf(hold), true);
  const windows = windowsOf(draft, hold);
  const short = shortage(draft, wallet, windows, moreNanos);
  if (short !== null) return short;
  raise(hold, wallet, windows, moreNanos);
  return done(wallet, outcomeOf(hold));
}

export function windowsOf(draft: UnitOfWork, hold: Readonly<Hold>): BudgetWindow[] {
  return rowsOf(draft.windows, hold.windowIds);
}

/** Remembers what a crash would charge. Late and repeated ones are passed over. */
export function decideCheckpoint(draft: UnitOfWork, operation: OperationOf<"checkpoint">): Result {
  if (!isAmount(operation.chargeNanos)) return refuse("invalid_amount");
  const hold = draft.holds.get(operation.id);
  if (hold === undefined) return refuse("hold_unknown");
  if (hold.state !== "open") return refuse("not_open", { hold: netOutcome(draft, hold) });
  if (operation.seq <= hold.checkpointSeq) return done(null, outcomeOf(hold), true);
  hold.checkpointSeq = operation.seq;
  hold.checkpointNanos = operation.chargeNanos;
  hold.inputTokens = operation.inputTokens;
  hold.outputTokens = operation.outputTokens;
  return done(null, outcomeOf(hold));
}
