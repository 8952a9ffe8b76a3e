/** The ledger's decisions as a pure function: what is loaded and what is asked, to what is answered and what is written. */
import { decideAdjust, decideCredit, decideExpireLots, decideOpenWallet, decideSetBudget, decideSetWallet } from "./credit.ts";
import { UnitOfWork } from "./unit-of-work.ts";
import { decideCheckpoint, decideExtend, decideHold } from "./hold.ts";
import type { Clock, Operation, Result } from "./operation.ts";
import { decideRecover, decideRenewLease } from "./recover.ts";
import { decideFinishRefund, decideReserveRefund } from "./refund.ts";
import { decideCorrect, decideSettle, decideVoid } from "./settle.ts";
import type { Changes, LedgerState } from "./state.ts";

/** Decides in order; each operation sees what the ones before it did. Neither argument is changed. */
export function applyBatch(
  state: LedgerState,
  operations: readonly Operation[],
  clock: Clock,
): { readonly results: Result[]; readonly changes: Changes } {
  const draft = new UnitOfWork(state);
  const results = operations.map((operation) => decide(draft, operation, clock));
  return { results, changes: draft.changes() };
}

function decide(draft: UnitOfWork, operation: Operation, clock: Clock): Result {
  switch (operation.kind) {
    case "hold":
      return decideHold(draft, operation, clock);
    case "extend":
      return decideExtend(draft, operation, clock);
    case "checkpoint":
      return decideCheckpoint(draft, operation);
    case "settle":
      return decideSettle(draft, operation, clock);
    case "void":
      return decideVoid(draft, operation, clock);
    case "correct":
      return decideCorrect(draft, operation, clock);
    case "open_wallet":
      return decideOpenWallet(draft, operation);
    case "set_wallet":
      return decideSetWallet(draft, operation);
    case "set_budget":
      return decideSetBudget(draft, operation);
    case "credit":
      return decideCredit(draft, operation, clock);
    case "adjust":
      return decideAdjust(draft, operation, clock);
    case "reserve_refund":
      return decideReserveRefund(draft, operation, clock);
    case "finish_refund":
      return decideFinishRefund(draft, operation, clock);
    case "expire_lots":
      return decideExpireLots(draft, operation, clock);
    case "recover":
      return decideRecover(draft, operation, clock);
    case "renew_lease":
      return decideRenewLease(draft, clock);
  }
}
