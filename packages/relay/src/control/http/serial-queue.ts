/** Changes are made one after the other: each begins with what the one before it has left. */
import { Refusal } from "./refusal.ts";

/** People make few changes; more than this waiting is a program gone wrong. */
const WAITING_MAX = 200;

export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Runs `work` when all that was asked before is over. @throws what it throws, and when too many wait. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX)
      throw new Refusal("store_unavailable", "Too many changes wait for the database. Nothing was changed.");
    this.#waiting += 1;
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn.finally(() => (this.#waiting -= 1));
  }
}
