/**
 * Group commit: what is asked in one turn of the event loop, and what is asked while a batch commits, makes the next batch.
 * Answers, refusals included, leave when the batch is committed.
 */
import type { Operation, Result } from "./operation.ts";

/** Commits a batch in one transaction. Never asked twice at a time. */
export type CommitBatch<Rider> = (operations: readonly Operation[], riders: readonly (Rider | undefined)[]) => Promise<readonly Result[]>;

export interface QueueLimits {
  /** Operations that wait. More are refused, except those that end a hold, which have twice the room. */
  readonly waitingMax: number;
  readonly batchMax: number;
}

const LIMITS: QueueLimits = { waitingMax: 10_000, batchMax: 500 };
/** Holds of unknown outcome that are remembered. Beyond, only a restart's recovery ends them. */
const ORPHANS_MAX = 100_000;

interface Waiting<Rider> {
  readonly operation: Operation;
  readonly rider: Rider | undefined;
  readonly answer: (result: Result) => void;
}

/** Ending a hold sets money free and is bounded by the holds there are: it is refused last. */
const ENDS: ReadonlySet<Operation["kind"]> = new Set(["settle", "void", "correct", "checkpoint", "renew_lease", "recover"]);

/** @template Rider what the store writes in the transaction of an operation that is not refused. */
export class LedgerQueue<Rider> {
  readonly #commit: CommitBatch<Rider>;
  readonly #limits: QueueLimits;
  #waiting: Waiting<Rider>[] = [];
  #inFlight = 0;
  #isScheduled = false;
  #isClosed = false;
  #whenIdle: (() => void)[] = [];
  /** Holds that were refused as unavailable and may exist all the same. Nobody will use them: they are voided. */
  readonly #orphans = new Set<string>();

  constructor(commit: CommitBatch<Rider>, limits: Partial<QueueLimits> = {}) {
    this.#commit = commit;
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Never rejects: a store that fails is a refusal too. */
  ask(operation: Operation, rider?: Rider): Promise<Result> {
    if (this.#isClosed) return Promise.resolve({ ok: false, code: "store_unavailable", reason: "the ledger is closed" });
    const max = ENDS.has(operation.kind) ? 2 * this.#limits.waitingMax : this.#limits.waitingMax;
    if (this.waiting >= max) return Promise.resolve({ ok: false, code: "store_unavailable", reason: "too many operations wait" });
    return new Promise((answer) => {
      this.#waiting.push({ operation, rider, answer });
      this.#schedule();
    });
  }

  /** Operations that have no answer yet. */
  get waiting(): number {
    return this.#waiting.length + this.#inFlight;
  }

  get hasRoom(): boolean {
    return !this.#isClosed && this.waiting < this.#limits.waitingMax;
  }

  /** Takes nothing more, and waits until all that was asked is answered. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.waiting > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight > 0) return;
    this.#isScheduled = true;
    setImmediate(() => void this.#send());
  }

  async #send(): Promise<void> {
    this.#isScheduled = false;
    const batch = this.#waiting.splice(0, this.#limits.batchMax);
    this.#inFlight = batch.length;
    const orphans = [...this.#orphans].slice(0, this.#limits.batchMax);
    const voids = orphans.map((id): Operation => ({ kind: "void", id, endReason: "store_unavailable" }));
    const results = await this.#results(
      [...voids, ...batch.map((waiting) => waiting.operation)],
      [...voids.map(() => undefined), ...batch.map((waiting) => waiting.rider)],
    );
    this.#inFlight = 0;
    orphans.forEach((id, at) => needsNoMore(results[at]) && this.#orphans.delete(id));
    batch.forEach((waiting, at) => this.#answer(waiting, results[voids.length + at]));
    if (this.#waiting.length > 0) this.#schedule();
    else for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  async #results(operations: readonly Operation[], riders: readonly (Rider | undefined)[]): Promise<readonly Result[]> {
    try {
      return await this.#commit(operations, riders);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return operations.map(() => ({ ok: false, code: "store_unavailable", isUnknown: true, reason }));
    }
  }

  #answer(waiting: Waiting<Rider>, result: Result | undefined): void {
    const known = result ?? { ok: false, code: "store_failed", reason: "the store gave too few answers" };
    const isLost = !known.ok && known.isUnknown === true && waiting.operation.kind === "hold";
    if (isLost && this.#orphans.size < ORPHANS_MAX) this.#orphans.add((waiting.operation as { id: string }).id);
    waiting.answer(known);
  }
}

/** Whether an orphan needs no further try: it is void, or there is no such hold, or it ended otherwise. */
function needsNoMore(result: Result | undefined): boolean {
  return result !== undefined && (result.ok || result.code !== "store_unavailable");
}
