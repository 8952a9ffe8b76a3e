/** The engine over plain maps: what the stores must agree with. */
import { applyBatch } from "../../src/ledger/apply-batch.ts";
import type { Clock, Operation, Result } from "../../src/ledger/operation.ts";
import { idempotencyId } from "../../src/ledger/state.ts";
import type { Changes, LedgerState, LotMove, TableChanges } from "../../src/ledger/state.ts";

type Mutable = { -readonly [K in keyof LedgerState]: LedgerState[K] extends ReadonlyMap<infer A, infer B> ? Map<A, B> : never };

export class MemoryLedger {
  readonly state: Mutable = {
    wallets: new Map(),
    lots: new Map(),
    budgets: new Map(),
    windows: new Map(),
    holds: new Map(),
    transfers: new Map(),
    corrections: new Map(),
    refunds: new Map(),
    idempotency: new Map(),
    nodes: new Map(),
    settledMoves: new Map(),
  };
  /** What the last batch wrote. */
  lastChanges: Changes | null = null;

  commit(clock: Clock, operations: readonly Operation[]): Result[] {
    const { results, changes } = applyBatch(this.state, operations, clock);
    this.write(changes);
    this.lastChanges = changes;
    return results;
  }

  write(changes: Changes): void {
    for (const name of ["wallets", "lots", "budgets", "windows", "holds", "refunds", "nodes"] as const)
      put(this.state[name] as Map<string, { id: string }>, changes[name] as TableChanges<{ id: string }>);
    for (const transfer of changes.transfers) this.state.transfers.set(transfer.id, transfer);
    for (const correction of changes.corrections) this.state.corrections.set(correction.id, correction);
    for (const freed of changes.idempotencyFreed) this.state.idempotency.delete(idempotencyId(freed.accountId, freed.key));
    for (const entry of changes.idempotencyAdded) this.state.idempotency.set(entry.id, entry);
    for (const move of changes.lotMoves) this.#addMove(move);
  }

  #addMove(move: LotMove): void {
    const holdId = /^settle:(.*?)(:promo)?$/.exec(move.transferId)?.[1];
    if (holdId !== undefined) this.state.settledMoves.set(holdId, [...(this.state.settledMoves.get(holdId) ?? []), move]);
  }
}

function put<T extends { readonly id: string }>(map: Map<string, Readonly<T>>, { added, changed }: TableChanges<T>): void {
  for (const row of added) map.set(row.id, row);
  for (const { after } of changed) map.set(after.id, after);
}
