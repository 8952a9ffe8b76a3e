/** The time in which a relay stands in line for the data of one that ends. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Line, Place } from "./line.ts";

const LOOK_EVERY_MS = 20;
/** What an orderly end takes beyond its drain: last words, and what waits to be stored. */
const END_WITHIN_MS = 20_000;

export interface AwaitingParts {
  readonly line: Pick<Line, "tryHead">;
  readonly place: Place;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export class Awaiting {
  readonly #parts: AwaitingParts;
  #taken: Promise<boolean> = Promise.resolve(true);
  #isEnded = false;
  #isOverdue = false;

  constructor(parts: AwaitingParts) {
    this.#parts = parts;
  }

  /** Those before this process are not gone although they should be. */
  get isOverdue(): boolean {
    return this.#isOverdue;
  }

  /**
   * Acts when this process has come to the head of the line. Asked once.
   * @returns true after that, false when the wait was ended before; rejects as `act` does.
   */
  head(act: () => Promise<void>): Promise<boolean> {
    if (this.#parts.place.number > 0) this.#taken = this.#await(act);
    // Who has no use for the outcome leaves it.
    this.#taken.catch(() => undefined);
    return this.#taken;
  }

  async #await(act: () => Promise<void>): Promise<boolean> {
    const { line, place, onTrouble } = this.#parts;
    const withinMs = (place.ahead?.delayMs ?? 0) + (place.ahead?.drainMs ?? 0) + END_WITHIN_MS;
    const timer = setTimeout(() => {
      this.#isOverdue = true;
      onTrouble(`another relay on the same data should have ended within ${withinMs / 1000} s and has not: does it still run?`);
    }, withinMs).unref();
    while (!this.#isEnded && !line.tryHead()) await sleep(LOOK_EVERY_MS);
    clearTimeout(timer);
    this.#isOverdue = false;
    if (this.#isEnded) return false;
    await act();
    return true;
  }

  /** Waits no longer; what was begun is finished. Never rejects. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#taken.catch(() => undefined);
  }
}
