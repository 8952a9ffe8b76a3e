/** What is committed whole or not at all. */
import type { Operation, Refused, Result } from "./operation.ts";

/**
 * Operations of the ledger and writes that go with them; or writes alone. Each operation is decided by itself: one that is refused
 * does not undo the others. What the store cannot write undoes the whole unit. @template W what the store writes.
 */
export interface Unit<W> {
  readonly operations: readonly Operation[];
  /** Stored unless one of the operations is refused. */
  readonly writes: readonly W[];
}

/** The answers to a unit's operations, refusals included; or why nothing of the unit is known to be stored. */
export type UnitOutcome = Committed | Refused;

interface Committed {
  readonly ok: true;
  /** In the order of the operations. */
  readonly results: readonly Result[];
}

/** Who commits: a process and the epoch its recovery gave it. */
export interface FencingToken {
  readonly node: string;
  readonly epoch: number;
  /** For how long a renewed lease runs. */
  readonly leaseMs: number;
}

/** Units of one operation each. */
export function unitsOf<W>(operations: readonly Operation[]): Unit<W>[] {
  return operations.map((operation) => ({ operations: [operation], writes: [] }));
}

/** The answer to a unit of one operation. */
export function onlyResult(outcome: UnitOutcome): Result {
  if (!outcome.ok) return outcome;
  return outcome.results[0] ?? { ok: false, code: "store_failed", reason: "the store gave too few answers" };
}
