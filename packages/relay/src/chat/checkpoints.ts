/** Writes checkpoints of a paid stream to the ledger: if this process dies, the ledger charges by the last one. */
import type { BilledUsage } from "@millrace/policy/price";
import type { RequestHold } from "./request-hold.ts";
import type { Ticking } from "./ticker.ts";

/** A checkpoint is due after this many tokens of output, or this long after the last one. */
const TOKENS = 512;
const EVERY_MS = 1_000;

export class Checkpoints implements Ticking {
  readonly #hold: RequestHold;
  readonly #usage: () => BilledUsage | null;
  #seq = 0;
  #tokens = 0;
  readonly #onBug: (error: unknown) => void;
  #at: number;
  #isUnderWay = false;

  /** @param usage what was delivered so far; null before there is any. @param onBug is told what the hold threw. */
  constructor(hold: RequestHold, usage: () => BilledUsage | null, onBug: (error: unknown) => void, now: number) {
    this.#hold = hold;
    this.#usage = usage;
    this.#onBug = onBug;
    this.#at = now;
  }

  tick(now: number): void {
    if (this.#isUnderWay) return;
    const usage = this.#usage();
    if (usage === null || usage.output === this.#tokens) return;
    if (usage.output - this.#tokens < TOKENS && now - this.#at < EVERY_MS) return;
    this.#tokens = usage.output;
    this.#at = now;
    this.#isUnderWay = true;
    // A lost checkpoint only makes the charge after a crash smaller, and the next one covers more anyway.
    this.#hold.checkpoint(++this.#seq, usage).then(() => (this.#isUnderWay = false), this.#onBug);
  }
}
