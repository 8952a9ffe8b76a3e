/**
 * Group commit: what is asked while a batch commits makes the next one. Nothing waits for company: what comes first goes at once.
 * Answers, refusals included, leave when the batch is committed.
 */
import { errorText } from "../basics/error-text.ts";
import type { Operation, Result } from "./operation.ts";

/** Commits a batch in one transaction. Never asked twice at a time. */
export type CommitBatch<Rider> = (
  operations: readonly Operation[],
  attachedWrites: readonly (Rider | undefined)[],
) => Promise<readonly Result[]>;

export interface QueueLimits {
  /** Operations that wait. More are refused, except those that end a hold, which have twice the room. */
  readonly waitingMax: number;
  readonly batchMax: number;
  readonly askedWithinMs: number;
}

/**
 * A request waits no longer. What is still in line then was never asked for; a hold under way may be made later, and is voided.
 * It is shorter than the store's own deadlines, which serve those who must know.
 */
const ASKED_WITHIN_MS = 2_500;
const LIMITS: QueueLimits = { waitingMax: 10_000, batchMax: 500, askedWithinMs: ASKED_WITHIN_MS };
/** Orphans are tried again after so long where nothing else is asked. */
const ORPHANS_AGAIN_MS = 1_000;
/** Holds of unknown outcome that are remembered. Beyond, only a restart's recovery ends them. */
const ORPHANS_MAX = 100_000;

interface Waiting<Rider> {
  readonly operation: Operation;
  readonly attachedWrite: Rider | undefined;
  readonly answer: (result: Result) => void;
}

/** What a request waits for. An extension that comes too late does no harm: its hold ends. */
const BOUNDED: ReadonlySet<Operation["kind"]> = new Set(["hold", "extend", "expire_lots"]);
/** Ending a hold sets money free and is bounded by the holds there are: it is refused last. */
const ENDS: ReadonlySet<Operation["kind"]> = new Set(["settle", "void", "correct", "checkpoint", "renew_lease", "recover"]);

/** @template Rider what the store writes in the transaction of an operation that is not refused. */
export class LedgerQueue<Rider> {
  readonly #commit: CommitBatch<Rider>;
  readonly #limits: QueueLimits;
  readonly #trouble: () => string | null;
  #waiting: Waiting<Rider>[] = [];
  #inFlight = 0;
  #isScheduled = false;
  #isClosed = false;
  #whenIdle: (() => void)[] = [];
  /** Holds that were refused as unavailable and may exist all the same. Nobody will use them: they are voided. */
  readonly #orphans = new Set<string>();
  #again: NodeJS.Timeout | null = null;

  /** @param trouble Why the store is unreachable, or null. While it is, new requests fail at once instead of queueing. */
  constructor(commit: CommitBatch<Rider>, limits: Partial<QueueLimits> = {}, trouble: () => string | null = () => null) {
    this.#commit = commit;
    this.#trouble = trouble;
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Never rejects: a store that fails is a refusal too. */
  ask(operation: Operation, attachedWrite?: Rider): Promise<Result> {
    if (this.#isClosed) return Promise.resolve({ ok: false, code: "store_unavailable", reason: "the ledger is closed" });
    const trouble = this.#trouble();
    if (trouble !== null) return Promise.resolve({ ok: false, code: "store_unavailable", reason: trouble });
    const max = ENDS.has(operation.kind) ? 2 * this.#limits.waitingMax : this.#limits.waitingMax;
    if (this.waiting >= max) return Promise.resolve({ ok: false, code: "store_unavailable", reason: "too many operations wait" });
    return new Promise((answer) => {
      const waiting = { operation, attachedWrite, answer };
      this.#waiting.push(BOUNDED.has(operation.kind) ? this.#withDeadline(waiting) : waiting);
      this.#schedule();
    });
  }

  #withDeadline(waiting: Waiting<Rider>): Waiting<Rider> {
    const giveUp = (): void => {
      const at = this.#waiting.indexOf(bounded);
      const reason = `the ledger took longer than ${this.#limits.askedWithinMs / 1000} s`;
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.#remember(waiting.operation);
      waiting.answer({ ok: false, code: "store_unavailable", reason, ...(at >= 0 ? {} : { isUnknown: true }) });
    };
    const timer = setTimeout(giveUp, this.#limits.askedWithinMs);
    const answer = (result: Result): void => {
      clearTimeout(timer);
      waiting.answer(result);
    };
    const bounded = { ...waiting, answer };
    return bounded;
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
    if (this.#again !== null) clearTimeout(this.#again);
    if (this.waiting > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #schedule(): void {
    if (this.#isScheduled || this.#inFlight > 0) return;
    this.#isScheduled = true;
    queueMicrotask(() => void this.#send());
  }

  async #send(): Promise<void> {
    this.#isScheduled = false;
    const batch = this.#waiting.splice(0, this.#limits.batchMax);
    this.#inFlight = batch.length;
    const orphans = [...this.#orphans].slice(0, this.#limits.batchMax);
    const voids = voidsOf(orphans);
    const results = await this.#results(
      [...voids, ...batch.map((waiting) => waiting.operation)],
      [...voids.map(() => undefined), ...batch.map((waiting) => waiting.attachedWrite)],
    );
    this.#inFlight = 0;
    orphans.forEach((id, at) => needsNoMore(results[at + 1]) && this.#orphans.delete(id));
    batch.forEach((waiting, at) => this.#answer(waiting, results[voids.length + at]));
    if (this.#waiting.length > 0) this.#schedule();
    else this.#rest();
  }

  #rest(): void {
    for (const resolve of this.#whenIdle.splice(0)) resolve();
    if (this.#orphans.size === 0 || this.#isClosed) return;
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#schedule(), ORPHANS_AGAIN_MS).unref();
  }

  async #results(operations: readonly Operation[], attachedWrites: readonly (Rider | undefined)[]): Promise<readonly Result[]> {
    try {
      return await this.#commit(operations, attachedWrites);
    } catch (error) {
      const reason = errorText(error);
      return operations.map(() => ({ ok: false, code: "store_unavailable", isUnknown: true, reason }));
    }
  }

  #answer(waiting: Waiting<Rider>, result: Result | undefined): void {
    const known = result ?? { ok: false, code: "store_failed", reason: "the store gave too few answers" };
    if (!known.ok && known.isUnknown === true) this.#remember(waiting.operation);
    waiting.answer(known);
  }

  #remember(operation: Operation): void {
    if (operation.kind === "hold" && this.#orphans.size < ORPHANS_MAX) this.#orphans.add(operation.id);
  }
}

/**
 * `renew_lease` takes the node lock, so it runs after every hold in flight. A hold that is not found then cannot appear
 * later.
 */
function voidsOf(orphans: readonly string[]): Operation[] {
  if (orphans.length === 0) return [];
  return [{ kind: "renew_lease" }, ...orphans.map((id): Operation => ({ kind: "void", id, endReason: "store_unavailable" }))];
}

/** Whether an orphan needs no further try: it is void, or there is no such hold, or it ended otherwise. */
function needsNoMore(result: Result | undefined): boolean {
  return result !== undefined && (result.ok || result.code !== "store_unavailable");
}
