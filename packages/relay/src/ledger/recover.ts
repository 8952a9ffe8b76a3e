/** Epochs: which life of a process may make holds, and what becomes of the holds of its earlier lives. */
import { done, outcomeOf, refuse } from "./results.ts";
import type { UnitOfWork } from "./unit-of-work.ts";
import type { Clock, OperationOf, Result } from "./operation.ts";
import { recoverHold } from "./settle.ts";

/**
 * A process recovers itself at boot; a peer may do it once the lease is over. A live owner's hold is never ended by age.
 * Asking twice raises the epoch twice, which harms nobody: nothing was held in between.
 */
export function decideRecover(draft: UnitOfWork, operation: OperationOf<"recover">, clock: Clock): Result {
  const known = draft.nodes.get(operation.node);
  const isSelf = operation.node === clock.node;
  if (!isSelf && known === undefined) return done(null);
  if (!isSelf && known !== undefined && known.leaseUntilMs > clock.nowMs) return refuse("lease_alive");
  const node = known ?? draft.nodes.add({ id: operation.node, epoch: 0, leaseUntilMs: 0 });
  node.epoch += 1;
  node.leaseUntilMs = isSelf ? clock.leaseUntilMs : 0;
  const holds = draft.openHoldsOfNode(operation.node);
  for (const hold of holds) recoverHold(draft, hold, clock);
  return { ...done(null), recovery: { epoch: node.epoch, holds: holds.map((hold) => outcomeOf(hold)) } };
}

/** Refused once somebody ended this epoch: the process must recover itself before it holds again. */
export function decideRenewLease(draft: UnitOfWork, clock: Clock): Result {
  const node = draft.nodes.get(clock.node);
  if (node === undefined || node.epoch !== clock.epoch) return refuse("stale_epoch");
  node.leaseUntilMs = Math.max(node.leaseUntilMs, clock.leaseUntilMs);
  return done(null);
}
