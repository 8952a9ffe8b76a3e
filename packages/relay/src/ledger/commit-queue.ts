/**
 * Group commit, of operations and writes alike: what is asked while a batch commits makes the next one. Nothing waits for company:
 * what comes first goes at once. Answers, refusals included, leave when the batch is committed.
 */
import { errorText } from "../basics/error-text.ts";
import type { Operation, Refused } from "./operation.ts";
import { endingsOf, Orphans } from "./orphans.ts";
import type { Unit, UnitOutcome } from "./unit.ts";

/** Commits a batch in one transaction, and answers in its order. Never asked twice at a time. */
export type CommitUnits<W> = (units: readonly Unit<W>[]) => Promise<readonly UnitOutcome[]>;

export interface QueueLimits {
  /** Units with operations that wait. More are refused, except those that only end holds, which have twice the room. */
  readonly waitingMax: number;
  /** Units of writes alone that wait. */
  readonly writesWaitingMax: number;
  readonly batchMax: number;
  readonly askedWithinMs: number;
}

/**
 * A request waits no longer. What is still in line then was never asked for; a hold under way may be made later, and is voided.
 * It is shorter than the store's own deadlines, which serve those who must know.
 */
const ASKED_WITHIN_MS = 2_500;
const LIMITS: QueueLimits = { waitingMax: 10_000, writesWaitingMax: 50_000, batchMax: 500, askedWithinMs: ASKED_WITHIN_MS };
/** Orphans are tried again after so long where nothing else is asked. */
const ORPHANS_AGAIN_MS = 1_000;

interface Waiting<W> {
  readonly unit: Unit<W>;
  readonly answer: (outcome: UnitOutcome) => void;
}

/** What a request waits for. An extension that comes too late does no harm: its hold ends. */
const BOUNDED: ReadonlySet<Operation["kind"]> = new Set(["hold", "extend", "expire_lots"]);
/** Ending a hold sets money free and is bounded by the holds there are: it is refused last. */
const ENDS: ReadonlySet<Operation["kind"]> = new Set(["settle", "void", "correct", "checkpoint", "renew_lease", "recover"]);

/** @template W what the store writes. */
export class CommitQueue<W> {
  readonly #commit: CommitUnits<W>;
  readonly #limits: QueueLimits;
  readonly #trouble: () => string | null;
  #waiting: Waiting<W>[] = [];
  #inFlight: readonly Waiting<W>[] = [];
  /** Units of writes alone among those that wait or are in flight. */
  #writes = 0;
  #isScheduled = false;
  #isCommitting = false;
  #isClosed = false;
  #whenIdle: (() => void)[] = [];
  readonly #orphans = new Orphans();
  #again: NodeJS.Timeout | null = null;

  /** @param trouble why the store is unreachable, or null. While it is, what is asked is refused at once. */
  constructor(commit: CommitUnits<W>, limits: Partial<QueueLimits> = {}, trouble: () => string | null = () => null) {
    this.#commit = commit;
    this.#trouble = trouble;
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Never rejects: a store that fails is a refusal too. */
  ask(unit: Unit<W>): Promise<UnitOutcome> {
    const fault = this.#isClosed ? "the ledger is closed" : (this.#trouble() ?? this.#crowd(unit));
    if (fault !== null) return Promise.resolve(unavailable(fault));
    if (isWrites(unit)) this.#writes++;
    return new Promise((answer) => {
      const waiting = { unit, answer };
      this.#waiting.push(unit.operations.some(({ kind }) => BOUNDED.has(kind)) ? this.#withDeadline(waiting) : waiting);
      this.#schedule();
    });
  }

  #crowd(unit: Unit<W>): string | null {
    if (isWrites(unit)) return this.#writes < this.#limits.writesWaitingMax ? null : "too many writes wait";
    const isEnd = unit.operations.every(({ kind }) => ENDS.has(kind));
    return this.waiting < this.#limits.waitingMax * (isEnd ? 2 : 1) ? null : "too many operations wait";
  }

  #withDeadline(waiting: Waiting<W>): Waiting<W> {
    const giveUp = (): void => {
      const at = this.#waiting.indexOf(bounded);
      const reason = `the ledger took longer than ${this.#limits.askedWithinMs / 1000} s`;
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.#orphans.remember(waiting.unit.operations);
      waiting.answer(unavailable(reason, at < 0));
    };
    const timer = setTimeout(giveUp, this.#limits.askedWithinMs);
    const answer = (outcome: UnitOutcome): void => {
      clearTimeout(timer);
      waiting.answer(outcome);
    };
    const bounded = { ...waiting, answer };
    return bounded;
  }

  /** Units with operations that have no answer yet. */
  get waiting(): number {
    return this.#waiting.length + this.#inFlight.length - this.#writes;
  }

  /** Units of writes alone that have no answer yet. */
  get waitingWrites(): number {
    return this.#writes;
  }

  get hasRoomForWrites(): boolean {
    return !this.#isClosed && this.#writes < this.#limits.writesWaitingMax;
  }

  get hasRoom(): boolean {
    return !this.#isClosed && this.waiting < this.#limits.waitingMax;
  }

  /** Takes nothing more, and waits until all that was asked is answered. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#again !== null) clearTimeout(this.#again);
    if (this.#waiting.length + this.#inFlight.length > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isCommitting) return;
    this.#isScheduled = true;
    queueMicrotask(() => void this.#send());
  }

  async #send(): Promise<void> {
    this.#isScheduled = false;
    this.#isCommitting = true;
    const batch = (this.#inFlight = this.#waiting.splice(0, this.#limits.batchMax));
    const orphans = this.#orphans.next(this.#limits.batchMax);
    const endings = endingsOf<W>(orphans);
    const outcomes = await this.#outcomes([...endings, ...batch.map(({ unit }) => unit)]);
    this.#inFlight = [];
    this.#isCommitting = false;
    this.#orphans.settle(orphans, outcomes);
    batch.forEach((waiting, at) => this.#answer(waiting, outcomes[endings.length + at]));
    if (this.#waiting.length > 0) this.#schedule();
    else this.#rest();
  }

  #rest(): void {
    for (const resolve of this.#whenIdle.splice(0)) resolve();
    if (this.#orphans.isEmpty || this.#isClosed) return;
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#schedule(), ORPHANS_AGAIN_MS).unref();
  }

  async #outcomes(units: readonly Unit<W>[]): Promise<readonly UnitOutcome[]> {
    try {
      return await this.#commit(units);
    } catch (error) {
      return units.map(() => unavailable(errorText(error), true));
    }
  }

  #answer({ unit, answer }: Waiting<W>, outcome: UnitOutcome | undefined): void {
    if (isWrites(unit)) this.#writes--;
    const known = outcome ?? unavailable("the store gave too few answers", true);
    if (!known.ok && known.isUnknown === true) this.#orphans.remember(unit.operations);
    answer(known);
  }
}

function isWrites({ operations }: Unit<unknown>): boolean {
  return operations.length === 0;
}

function unavailable(reason: string, isUnknown = false): Refused {
  return { ok: false, code: "store_unavailable", reason, ...(isUnknown ? { isUnknown } : {}) };
}
