/** A sliding hold: a stream goes on only as far as money is set aside for it, and more is asked for in good time. */
import type { Refused } from "../ledger/operation.ts";
import type { Bill } from "./request-hold.ts";
import type { Meter } from "./meter.ts";

/** Our count of tokens is an estimate: twice as many are taken to have been billed. */
const CAUTION = 2;
/** More is asked for when this part of a window is left. */
const ASK_AHEAD_TOKENS = 1_024;

export class CreditGate {
  readonly #bill: Bill;
  readonly #onOpen: () => void;
  readonly #onRefused: (refused: Refused) => void;
  #covered: number;
  #isAsking = false;
  /** Asked in advance and refused: asked once more when it is needed, for credit may have come in between. */
  #wasRefused = false;

  /** @param onOpen more is covered than before. @param onRefused called at most once, when what there is was not covered. */
  constructor(bill: Bill, covered: number, onOpen: () => void, onRefused: (refused: Refused) => void) {
    this.#bill = bill;
    this.#covered = covered;
    this.#onOpen = onOpen;
    this.#onRefused = onRefused;
  }

  /** Whether what was read is paid for, by the upstream's count or by our estimate. Asks for more where it is needed soon. */
  covers(meter: Pick<Meter, "usage" | "estimatedOutput">): boolean {
    const tokens = meter.usage === null ? Math.ceil(meter.estimatedOutput * CAUTION) : meter.usage.output;
    const isCovered = tokens <= this.#covered;
    if (!isCovered || (tokens > this.#covered - ASK_AHEAD_TOKENS && !this.#wasRefused)) void this.#ask(tokens, isCovered);
    return isCovered;
  }

  async #ask(tokens: number, isAhead: boolean): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = await this.#bill.extend(tokens);
    this.#isAsking = false;
    if (typeof answer === "number") {
      this.#covered = Math.max(this.#covered, answer);
      this.#onOpen();
      return;
    }
    this.#wasRefused = true;
    // What came meanwhile may wait for it by now: opening looks again, and asks once more.
    if (isAhead) this.#onOpen();
    else this.#onRefused(answer);
  }
}
