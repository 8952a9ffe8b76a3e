/** Runs changes one after the other, so that each sees what the one before it stored. */
import { Refusal } from "./refusal.ts";

/** People make few changes; if more than this wait, a program has gone wrong. */
const WAITING_MAX = 200;

export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Runs `work` when all earlier work is over. @throws what `work` throws, and a {@link Refusal} when too many wait. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX)
      throw new Refusal("store_unavailable", "Too many changes wait for the database. Nothing was changed.");
    this.#waiting += 1;
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn.finally(() => (this.#waiting -= 1));
  }
}
