/** The books that simulated relays share: the engine over maps, one batch at a time, with a clock that is told what to say. */
import type { Clock, Operation, Result } from "../../../src/ledger/operation.ts";
import type { Changes, LedgerState } from "../../../src/ledger/state.ts";
import type { FencingToken, Unit } from "../../../src/ledger/unit.ts";
import { applyBatch } from "../../../src/ledger/apply-batch.ts";
import { MemoryLedger } from "../memory-ledger.ts";
import { NOON } from "../operations.ts";
import type { Step } from "./script.ts";

/** An operation, and whether the row of its request goes with it. */
export type RequestUnit = Unit<"row">;

/** What was stored at once, as whoever watches the books sees it. */
export interface Commit {
  readonly token: FencingToken;
  readonly nowMs: number;
  readonly operations: readonly Operation[];
  readonly results: readonly Result[];
  readonly changes: Changes;
  /** After it. */
  readonly state: LedgerState;
}

/** Mistakes in the books, planted to see them found. */
export interface BooksPlant {
  readonly clock?: (clock: Clock, state: LedgerState) => Clock;
  readonly loaded?: (state: LedgerState, clock: Clock) => LedgerState;
  readonly written?: (changes: Changes) => Changes;
}

/** The process that committed is gone, and nothing of the batch is stored. */
export class Killed extends Error {}

export interface Books {
  nowMs: number;
  /** What is to happen within the next batch, for books that have an inside. */
  arm?(step: Step): void;
  /** Answers the operations in their order. @throws {Killed} */
  commit(token: FencingToken, units: readonly RequestUnit[]): readonly Result[];
  readonly state: LedgerState;
}

export class MemoryBooks implements Books {
  nowMs = NOON;
  readonly #ledger = new MemoryLedger();
  readonly #plant: BooksPlant;
  readonly #onCommit: (commit: Commit) => void;

  constructor(plant: BooksPlant, onCommit: (commit: Commit) => void) {
    this.#plant = plant;
    this.#onCommit = onCommit;
  }

  get state(): LedgerState {
    return this.#ledger.state;
  }

  commit(token: FencingToken, units: readonly RequestUnit[]): readonly Result[] {
    const { nowMs, state } = this;
    const operations = units.flatMap((unit) => unit.operations);
    const plain = { nowMs, node: token.node, epoch: token.epoch, leaseUntilMs: nowMs + token.leaseMs };
    const clock = this.#plant.clock?.(plain, state) ?? plain;
    const { results, changes } = applyBatch(this.#plant.loaded?.(state, clock) ?? state, operations, clock);
    const written = this.#plant.written?.(changes) ?? changes;
    this.#ledger.write(written);
    this.#onCommit({ token, nowMs, operations, results, changes: written, state });
    return results;
  }
}
