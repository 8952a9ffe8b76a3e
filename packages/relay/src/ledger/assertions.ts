/**
 * What must be true of every decision, asked again of the rows that it touched and of no others. The decisions are written so
 * that nothing here can fail; what fails is a bug, and `applyBatch` refuses that one operation instead of storing what it made.
 */
import type { Clock, Operation, Result } from "./operation.ts";
import type { BudgetWindow, Correction, Hold, LedgerNode, Lot, LotMove, Refund, Transfer, Wallet } from "./state.ts";
import { availableIn } from "./results.ts";
import { settlementOf } from "./unit-of-work.ts";
import type { Touched, UnitOfWork } from "./unit-of-work.ts";

/** A decision of the ledger, or what it was asked, is not what it must be. Its message names the claim and the row. */
export class LedgerFault extends Error {}

/** All that is claimed; each has a planted fault in its test. */
export const CLAIMS = [
  "a clock tells whole numbers",
  "an id is not empty",
  "an account's id is not empty",
  "a reference is not empty",
  "tokens are whole numbers",
  "a checkpoint's number is whole",
  "a lot has between nothing and all of its amount left",
  "what is left of a lot is what was and its moves",
  "a lot is used up when nothing is left",
  "a lot expires once",
  "a transfer notes the balance after it",
  "a transfer moves something somewhere",
  "the balance is the sum of the transfers",
  "a wallet's transfers are numbered without gaps",
  "what is held is the sum of the open holds",
  "no less than nothing is held",
  "the count of holds never falls",
  "no balance is without a lot",
  "a hold that has ended stays as it is",
  "a hold is never lowered",
  "a checkpoint never gives way to an older one",
  "a hold ends whole",
  "no less than nothing is charged or written off",
  "a void hold costs nothing",
  "a recovered hold costs its checkpoint at most, and no more than was set aside",
  "a hold's transfers add up to what it charged",
  "a budget's window holds the sum of its open holds",
  "a budget's window spent what its holds were charged",
  "an epoch rises by one or stays",
  "a refund ends once",
  "a correction leaves no charge below nothing",
  "what is charged and written off after a correction is its cost",
  "a refused or repeated operation changes no hold",
  "a refused or repeated operation moves nothing",
  "a hold leaves the wallet at its floor or above",
  "a hold leaves each budget at its cap or below",
  "charged and written off make the cost",
  "a charge leaves what other holds set aside, and the floor",
] as const;

function claim(isTrue: boolean, words: (typeof CLAIMS)[number], id: string): void {
  if (!isTrue) throw new LedgerFault(`${words} (${id})`);
}

/**
 * What whoever asks must see to. Amounts are not among it: one that is out of range is refused by name.
 * @throws {LedgerFault}
 */
export function assertArguments(operation: Operation, clock: Clock): void {
  claim(isCount(clock.nowMs) && isCount(clock.leaseUntilMs) && isCount(clock.epoch), "a clock tells whole numbers", clock.node);
  if ("id" in operation) claim(operation.id !== "", "an id is not empty", operation.kind);
  if ("accountId" in operation) claim(operation.accountId !== "", "an account's id is not empty", operation.kind);
  if ("reference" in operation) claim(operation.reference !== "", "a reference is not empty", operation.kind);
  if ("inputTokens" in operation)
    claim(isCount(operation.inputTokens) && isCount(operation.outputTokens), "tokens are whole numbers", operation.id);
  if (operation.kind === "checkpoint") claim(isCount(operation.seq), "a checkpoint's number is whole", operation.id);
}

function isCount(value: number): boolean {
  return value >= 0 && Number.isSafeInteger(value);
}

/** One decision: what was asked and answered, and what it made of the rows. */
export interface Decision {
  readonly operation: Operation;
  readonly result: Result;
  readonly draft: UnitOfWork;
}

/** @throws {LedgerFault} naming the first claim that does not hold. */
export function assertDecision(decision: Decision): void {
  const { draft } = decision;
  const moved = movedIn(draft);
  for (const touched of draft.lots.touched) assertLot(touched, moved);
  for (const touched of draft.wallets.touched) assertWallet(touched, moved, draft);
  for (const { before, after } of moved.holds) assertHold(before, after, moved);
  for (const touched of draft.windows.touched) assertWindow(touched, moved);
  for (const { before, after } of draft.nodes.touched) assertNode(before, after);
  for (const { before, after } of draft.refunds.touched) assertRefund(before, after);
  for (const correction of moved.corrections) assertCorrection(correction, draft);
  const { result } = decision;
  if (!result.ok || result.isRepeat) assertQuiet(moved, decision.operation);
  else assertDone(decision, moved);
}

/** What moved in one decision. */
interface Moved {
  readonly transfers: readonly Transfer[];
  readonly lotMoves: readonly LotMove[];
  /** Those that are not as they were. */
  readonly holds: readonly Touched<Hold>[];
  readonly corrections: readonly Correction[];
}

function movedIn(draft: UnitOfWork): Moved {
  return {
    transfers: newIn(draft.transfers.touched),
    lotMoves: draft.movesOfDecision(),
    holds: draft.holds.touched.filter(isChanged),
    corrections: newIn(draft.corrections.touched),
  };
}

function newIn<T>(touched: readonly Touched<T>[]): readonly T[] {
  const rows: T[] = [];
  for (const { before, after } of touched) if (before === null) rows.push(after);
  return rows;
}

function isChanged({ before, after }: Touched<Hold>): boolean {
  return (
    before === null ||
    before.state !== after.state ||
    before.amountNanos !== after.amountNanos ||
    before.checkpointSeq !== after.checkpointSeq ||
    before.checkpointNanos !== after.checkpointNanos ||
    before.chargedNanos !== after.chargedNanos ||
    before.writtenOffNanos !== after.writtenOffNanos ||
    before.closedAtMs !== after.closedAtMs
  );
}

function assertLot({ before, after }: Touched<Lot>, { lotMoves }: Moved): void {
  const { id, amountNanos, remainingNanos, isUsedUp, expiredAfterHold } = after;
  if (before?.remainingNanos === remainingNanos && before.expiredAfterHold === expiredAfterHold) return;
  let left = before?.remainingNanos ?? amountNanos;
  for (const move of lotMoves) if (move.lotId === id) left += move.deltaNanos;
  claim(remainingNanos >= 0n && remainingNanos <= amountNanos, "a lot has between nothing and all of its amount left", id);
  claim(remainingNanos === left, "what is left of a lot is what was and its moves", id);
  claim(isUsedUp === (remainingNanos === 0n), "a lot is used up when nothing is left", id);
  const wasExpired = before !== null && before.expiredAfterHold !== null;
  claim(!wasExpired || before.expiredAfterHold === expiredAfterHold, "a lot expires once", id);
}

function assertWallet({ before, after }: Touched<Wallet>, moved: Moved, draft: UnitOfWork): void {
  const { id, balanceNanos, heldNanos } = after;
  let gained = 0n;
  let count = 0;
  for (const transfer of moved.transfers) {
    if (transfer.walletId !== id) continue;
    gained += transfer.credit === id ? transfer.amountNanos : -transfer.amountNanos;
    count += 1;
    claim(transfer.balanceAfterNanos === (before?.balanceNanos ?? 0n) + gained, "a transfer notes the balance after it", transfer.id);
    claim(transfer.amountNanos > 0n && transfer.debit !== transfer.credit, "a transfer moves something somewhere", transfer.id);
  }
  claim(balanceNanos === (before?.balanceNanos ?? 0n) + gained, "the balance is the sum of the transfers", id);
  claim(after.seq === (before?.seq ?? 0) + count, "a wallet's transfers are numbered without gaps", id);
  claim(heldNanos === (before?.heldNanos ?? 0n) + setAside(moved.holds, id), "what is held is the sum of the open holds", id);
  claim(heldNanos >= 0n, "no less than nothing is held", id);
  claim(after.holdCount >= (before?.holdCount ?? 0), "the count of holds never falls", id);
  if (count > 0) claim(draft.lotsOf(id).reduce(addRemaining, 0n) >= balanceNanos, "no balance is without a lot", id);
}

function addRemaining(sum: bigint, lot: Readonly<Lot>): bigint {
  return sum + lot.remainingNanos;
}

function openNanos(hold: Readonly<Hold> | null): bigint {
  return hold?.state === "open" ? hold.amountNanos : 0n;
}

/** By how much more or less the wallet's open holds set aside than before. */
function setAside(holds: Moved["holds"], walletId: string): bigint {
  let sum = 0n;
  for (const { before, after } of holds) if (after.walletId === walletId) sum += openNanos(after) - openNanos(before);
  return sum;
}

function assertHold(before: Readonly<Hold> | null, after: Readonly<Hold>, moved: Moved): void {
  const { id, state, chargedNanos, amountNanos } = after;
  claim(before === null || before.state === "open", "a hold that has ended stays as it is", id);
  claim(amountNanos >= (before?.amountNanos ?? 0n), "a hold is never lowered", id);
  claim(after.checkpointSeq >= (before?.checkpointSeq ?? 0), "a checkpoint never gives way to an older one", id);
  claim((state === "open") === (chargedNanos === null && after.closedAtMs === null && after.basis === null), "a hold ends whole", id);
  if (chargedNanos !== null) assertEnd(after, chargedNanos, moved);
}

function assertEnd(hold: Readonly<Hold>, chargedNanos: bigint, { transfers }: Moved): void {
  const { id, state, checkpointNanos, amountNanos, writtenOffNanos } = hold;
  claim(chargedNanos >= 0n && writtenOffNanos >= 0n, "no less than nothing is charged or written off", id);
  claim(state !== "voided" || chargedNanos === 0n, "a void hold costs nothing", id);
  const isWithin = chargedNanos <= checkpointNanos && chargedNanos <= amountNanos;
  claim(state !== "recovered" || isWithin, "a recovered hold costs its checkpoint at most, and no more than was set aside", id);
  if (hold.walletId === null) return;
  const cause = settlementOf(id);
  let paid = 0n;
  for (const transfer of transfers) if (transfer.cause === cause) paid += transfer.amountNanos;
  claim(paid === chargedNanos, "a hold's transfers add up to what it charged", id);
}

function assertWindow({ before, after }: Touched<BudgetWindow>, { holds, corrections }: Moved): void {
  const { id, heldNanos, spentNanos } = after;
  let held = before?.heldNanos ?? 0n;
  let spent = before?.spentNanos ?? 0n;
  for (const hold of holds) {
    if (!hold.after.windowIds.includes(id)) continue;
    held += openNanos(hold.after) - openNanos(hold.before);
    spent += hold.after.chargedNanos ?? 0n;
  }
  // A correction is of one hold, which had ended: it has no other part in the decision.
  const [corrected] = corrections;
  if (corrected !== undefined && holds.length === 0) spent += corrected.deltaNanos;
  claim(heldNanos === held && heldNanos >= 0n, "a budget's window holds the sum of its open holds", id);
  claim(spentNanos === spent && spentNanos >= 0n, "a budget's window spent what its holds were charged", id);
}

function assertNode(before: Readonly<LedgerNode> | null, { id, epoch }: Readonly<LedgerNode>): void {
  const steps = epoch - (before?.epoch ?? 0);
  claim(steps === 0 || steps === 1, "an epoch rises by one or stays", id);
}

function assertRefund(before: Readonly<Refund> | null, { id, state }: Readonly<Refund>): void {
  claim(before === null || before.state === "reserved" || before.state === state, "a refund ends once", id);
}

function assertCorrection({ id, costNanos, deltaNanos, writtenOffNanos }: Readonly<Correction>, draft: UnitOfWork): void {
  const netNanos = (draft.holds.get(id)?.chargedNanos ?? 0n) + deltaNanos;
  claim(netNanos >= 0n && writtenOffNanos >= 0n, "a correction leaves no charge below nothing", id);
  claim(netNanos + writtenOffNanos === costNanos, "what is charged and written off after a correction is its cost", id);
}

/** What is refused, or was done before, moves nothing but credit that has expired. */
function assertQuiet({ transfers, holds, corrections }: Moved, { kind }: Operation): void {
  claim(holds.length === 0 && corrections.length === 0, "a refused or repeated operation changes no hold", kind);
  for (const { code, id } of transfers) claim(code === "expire", "a refused or repeated operation moves nothing", id);
}

function assertDone({ operation, draft }: Decision, moved: Moved): void {
  switch (operation.kind) {
    case "hold":
    case "extend":
      return assertRoom(draft, operation.id);
    case "settle":
      return assertSettled(draft, operation.id, operation.costNanos, moved);
    default:
  }
}

/** Nothing is set aside that is not there, in the wallet or in a budget. */
function assertRoom(draft: UnitOfWork, holdId: string): void {
  const hold = draft.holds.get(holdId);
  const wallet = typeof hold?.walletId === "string" ? draft.wallets.get(hold.walletId) : undefined;
  if (wallet !== undefined) claim(availableIn(wallet) >= 0n, "a hold leaves the wallet at its floor or above", holdId);
  for (const windowId of hold?.windowIds ?? []) {
    const window = draft.windows.get(windowId);
    const capNanos = window === undefined ? undefined : draft.budgets.get(window.budgetId)?.capNanos;
    const isWithin = window !== undefined && capNanos !== undefined && window.spentNanos + window.heldNanos <= capNanos;
    claim(isWithin, "a hold leaves each budget at its cap or below", windowId);
  }
}

function assertSettled(draft: UnitOfWork, holdId: string, costNanos: bigint, { transfers }: Moved): void {
  const hold = draft.holds.get(holdId);
  const chargedNanos = hold?.chargedNanos ?? 0n;
  claim(chargedNanos + (hold?.writtenOffNanos ?? 0n) === costNanos, "charged and written off make the cost", holdId);
  const wallet = typeof hold?.walletId === "string" ? draft.wallets.get(hold.walletId) : undefined;
  const hasExpired = transfers.some(({ code }) => code === "expire");
  if (wallet === undefined || chargedNanos === 0n || hasExpired) return;
  claim(availableIn(wallet) >= 0n, "a charge leaves what other holds set aside, and the floor", holdId);
}
