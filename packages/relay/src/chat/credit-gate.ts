/** Lets a stream go on only as far as its sliding hold covers it, and extends the hold before it runs out. */
import type { Refused } from "../ledger/operation.ts";
import type { RequestHold } from "./request-hold.ts";
import type { Meter } from "./meter.ts";

/** The relay's own count of tokens is an estimate: the gate assumes that the upstream bills twice as many. */
const CAUTION = 2;
/** The gate extends the hold when fewer covered tokens than this are left. */
const ASK_AHEAD_TOKENS = 1_024;

export interface CreditListener {
  /** More is covered than before. */
  onCovered(): void;
  /** What was read is not covered, and there is no credit for it. Called at most once. */
  onUnpaid(refused: Refused): void;
  /** Is told what the hold or the listener threw. */
  onBug(error: unknown): void;
}

export class CreditGate {
  readonly #hold: RequestHold;
  readonly #listener: CreditListener;
  #covered: number;
  #isAsking = false;
  /** An extension in advance was refused. The gate asks again when it needs one: credit may have come in between. */
  #wasRefused = false;

  /** @param covered tokens of output that the hold covers. */
  constructor(hold: RequestHold, covered: number, listener: CreditListener) {
    this.#hold = hold;
    this.#covered = covered;
    this.#listener = listener;
  }

  /** True when the hold covers what was read, by the upstream's count or the relay's estimate. Extends the hold if it will run out soon. */
  covers(meter: Pick<Meter, "usage" | "estimatedOutput">): boolean {
    const tokens = meter.usage === null ? Math.ceil(meter.estimatedOutput * CAUTION) : meter.usage.output;
    const isCovered = tokens <= this.#covered;
    if (!isCovered || (tokens > this.#covered - ASK_AHEAD_TOKENS && !this.#wasRefused))
      this.#ask(tokens, isCovered).catch((error: unknown) => this.#listener.onBug(error));
    return isCovered;
  }

  async #ask(tokens: number, isAhead: boolean): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = await this.#hold.extend(tokens);
    this.#isAsking = false;
    if (typeof answer === "number") {
      this.#covered = Math.max(this.#covered, answer);
      return this.#listener.onCovered();
    }
    this.#wasRefused = true;
    // Events that came meanwhile may wait for this extension by now: the listener looks again, and the gate asks once more.
    if (isAhead) this.#listener.onCovered();
    else this.#listener.onUnpaid(answer);
  }
}
