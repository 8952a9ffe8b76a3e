/** Why an answer must end before its upstream has ended it. The first cause wins; whoever works for the answer hears of each. */
import type { RelayError } from "./relay-error.ts";

export type CancellationCause =
  /** The client left. */
  | { readonly by: "client" }
  /** The relay ends the answer: it stops, the key was revoked, or credit ran out. */
  | { readonly by: "relay"; readonly error: RelayError }
  /** The relay made a mistake. */
  | { readonly by: "bug"; readonly error: RelayError };

export class Cancellation {
  #cause: CancellationCause | null = null;
  readonly #listeners = new Set<(cause: CancellationCause) => void>();

  /** The first cause, or null while the answer may go on. */
  get cause(): CancellationCause | null {
    return this.#cause;
  }

  /** Ends the answer. A later cause changes nothing of the first, but is told too: it may end what the first let run on. */
  end(cause: CancellationCause): void {
    this.#cause ??= cause;
    for (const listener of this.#listeners) listener(cause);
  }

  /** @returns a function that takes the listener back. */
  onEnd(listener: (cause: CancellationCause) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Waits for `ms` milliseconds, or until the answer must end. */
  sleep(ms: number): Promise<void> {
    if (this.#cause !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        forget();
        resolve();
      };
      const timer = setTimeout(wake, ms);
      const forget = this.onEnd(wake);
    });
  }
}
