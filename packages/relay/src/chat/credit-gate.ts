/** A sliding hold: a stream goes on only as far as money is set aside for it, and more is asked for in good time. */
import type { Refused } from "../ledger/operation.ts";
import type { RequestHold } from "./request-hold.ts";
import type { Meter } from "./meter.ts";

/** Our count of tokens is an estimate: twice as many are taken to have been billed. */
const CAUTION = 2;
/** More is asked for when this part of a window is left. */
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
  /** Asked in advance and refused: asked once more when it is needed, for credit may have come in between. */
  #wasRefused = false;

  /** @param covered tokens of output that the hold covers. */
  constructor(hold: RequestHold, covered: number, listener: CreditListener) {
    this.#hold = hold;
    this.#covered = covered;
    this.#listener = listener;
  }

  /** Whether what was read is paid for, by the upstream's count or by our estimate. Asks for more where it is needed soon. */
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
    // What came meanwhile may wait for it by now: opening looks again, and asks once more.
    if (isAhead) this.#listener.onCovered();
    else this.#listener.onUnpaid(answer);
  }
}
