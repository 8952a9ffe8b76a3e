/** Holds that were refused as unavailable and may exist all the same. Nobody will use them: they are voided. */
import type { Operation, Result } from "./operation.ts";
import { onlyResult, unitsOf } from "./unit.ts";
import type { Unit, UnitOutcome } from "./unit.ts";

/** Holds that are remembered. Beyond, only a restart's recovery ends them. */
const REMEMBERED_MAX = 100_000;

export class Orphans {
  readonly #ids = new Set<string>();

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  /** Of the operations the holds, whose outcome is unknown. */
  remember(operations: readonly Operation[]): void {
    for (const operation of operations) if (operation.kind === "hold" && this.#ids.size < REMEMBERED_MAX) this.#ids.add(operation.id);
  }

  /** @param max that are ended at once. */
  next(max: number): string[] {
    return [...this.#ids].slice(0, max);
  }

  /** @param outcomes of {@link endingsOf} these. */
  settle(ids: readonly string[], outcomes: readonly UnitOutcome[]): void {
    ids.forEach((id, at) => {
      const outcome = outcomes[at + 1];
      if (outcome !== undefined && needsNoMore(onlyResult(outcome))) this.#ids.delete(id);
    });
  }
}

/**
 * What ends them. Making a hold locks the node, and so does renewing its lease: a hold that is being made is waited for, so
 * that one that is not found afterwards cannot appear later.
 */
export function endingsOf<W>(ids: readonly string[]): Unit<W>[] {
  if (ids.length === 0) return [];
  return unitsOf([{ kind: "renew_lease" }, ...ids.map((id): Operation => ({ kind: "void", id, endReason: "store_unavailable" }))]);
}

/** It is void, or there is no such hold, or it ended otherwise. */
function needsNoMore(result: Result): boolean {
  return result.ok || result.code !== "store_unavailable";
}
