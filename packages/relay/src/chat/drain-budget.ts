/** Bounds the upstream calls that run on without a client, all of them together. */
export class DrainBudget {
  #running = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** False when as many run on as may. */
  take(): boolean {
    if (this.#running >= this.#max) return false;
    this.#running += 1;
    return true;
  }

  give(): void {
    this.#running -= 1;
  }
}
