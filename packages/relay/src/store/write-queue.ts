/** Group commit of writes: what comes while a batch commits makes the next one. */
import { errorText } from "../basics/error-text.ts";
import type { Write, WriteOutcome } from "./tables/writes.ts";

const WAITING_MAX = 50_000;
const BATCH_MAX = 1_000;

interface Waiting {
  readonly writes: readonly Write[];
  settle(outcome: WriteOutcome): void;
}

export class WriteQueue {
  readonly #commit: (units: readonly (readonly Write[])[]) => Promise<readonly WriteOutcome[]>;
  #waiting: Waiting[] = [];
  #inFlight: Waiting[] = [];
  #closed: string | null = null;

  /** @param commit stores units, each whole or not at all; rejects when nobody knows. Asked once at a time. */
  constructor(commit: (units: readonly (readonly Write[])[]) => Promise<readonly WriteOutcome[]>) {
    this.#commit = commit;
  }

  get waiting(): number {
    return this.#waiting.length + this.#inFlight.length;
  }

  get hasRoom(): boolean {
    return this.#closed === null && this.waiting < WAITING_MAX;
  }

  /** Null once the writes are stored, all of them; else why none is. Never rejects. */
  add(writes: readonly Write[]): Promise<WriteOutcome> {
    if (this.#closed !== null) return Promise.resolve(notTried(this.#closed));
    if (!this.hasRoom) return Promise.resolve(notTried("too many writes wait"));
    return new Promise((settle) => {
      this.#waiting.push({ writes, settle });
      if (this.#inFlight.length === 0) void this.#send();
    });
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0 && this.#closed === null) {
      const batch = (this.#inFlight = this.#waiting.splice(0, BATCH_MAX));
      const outcomes = await this.#outcomes(batch);
      this.#inFlight = [];
      batch.forEach((waiting, at) => {
        const outcome = outcomes[at];
        waiting.settle(outcome === undefined ? notTried("the store gave too few answers") : outcome);
      });
    }
  }

  async #outcomes(batch: readonly Waiting[]): Promise<readonly WriteOutcome[]> {
    try {
      return await this.#commit(batch.map((waiting) => waiting.writes));
    } catch (error) {
      const reason = errorText(error);
      return batch.map(() => notTried(reason));
    }
  }

  /** Takes nothing more; what still waits is refused with the reason. */
  close(reason: string): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    for (const waiting of [...this.#inFlight.splice(0), ...this.#waiting.splice(0)]) waiting.settle(notTried(reason));
  }
}

function notTried(reason: string): WriteOutcome {
  return { reason, isOwn: false };
}
