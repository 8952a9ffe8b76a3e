/** The ledger's decisions as a pure function: what is loaded and what is asked, to what is answered and what is written. */
import { errorText } from "../basics/error-text.ts";
import { assertArguments, assertDecision, LedgerFault } from "./assertions.ts";
import { decideAdjust, decideCredit, decideExpireLots, decideOpenWallet, decideSetBudget, decideSetWallet } from "./credit.ts";
import { UnitOfWork } from "./unit-of-work.ts";
import { decideCheckpoint, decideExtend, decideHold } from "./hold.ts";
import type { Clock, Operation, Refused, Result } from "./operation.ts";
import { decideRecover, decideRenewLease } from "./recover.ts";
import { decideFinishRefund, decideReserveRefund } from "./refund.ts";
import { decideCorrect, decideSettle, decideVoid } from "./settle.ts";
import type { Changes, LedgerState } from "./state.ts";

/** Faults that are set apart one by one; with more than these the batch as a whole is refused, and the store halves it. */
const FAULTS_MAX = 8;

/**
 * Decides in order; each operation sees what the ones before it did. Neither argument is changed. An operation whose decision
 * throws, or does not pass its assertions, is refused as a fault, and the others are decided as if it had not been asked.
 * @throws when more than a few operations are faults.
 */
export function applyBatch(
  state: LedgerState,
  operations: readonly Operation[],
  clock: Clock,
): { readonly results: Result[]; readonly changes: Changes } {
  const faults = new Map<number, Refused>();
  for (;;) {
    const draft = new UnitOfWork(state);
    const results = decideAll(draft, operations, clock, faults);
    if (results !== null) return { results, changes: draft.changes() };
  }
}

/** Null when a fault was found: what it made of the draft is not to be kept. */
function decideAll(draft: UnitOfWork, operations: readonly Operation[], clock: Clock, faults: Map<number, Refused>): Result[] | null {
  const results: Result[] = [];
  for (const [at, operation] of operations.entries()) {
    try {
      results.push(faults.get(at) ?? decideSoundly(draft, operation, clock));
    } catch (error) {
      if (faults.size === FAULTS_MAX) throw error;
      faults.set(at, faultOf(operation, error));
      return null;
    }
  }
  return results;
}

function decideSoundly(draft: UnitOfWork, operation: Operation, clock: Clock): Result {
  assertArguments(operation, clock);
  draft.beginDecision();
  const result = decide(draft, operation, clock);
  assertDecision({ operation, result, draft });
  return result;
}

/** Where an assertion failed its words say what is wrong; of anything else that was thrown the stack says where. */
function faultOf({ kind }: Operation, error: unknown): Refused {
  const said = error instanceof Error && !(error instanceof LedgerFault) ? error.stack : undefined;
  return { ok: false, code: "store_failed", isFault: true, reason: `a fault in the decision of ${kind}: ${said ?? errorText(error)}` };
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
