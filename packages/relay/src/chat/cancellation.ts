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
  readonly #onBug: (error: unknown) => void;
  #isByRelay = false;

  /** @param onBug is told what a listener threw; the others hear of the end all the same. It must not throw. */
  constructor(onBug: (error: unknown) => void) {
    this.#onBug = onBug;
  }

  /** The relay itself ended the answer, be it after the client had left. */
  get isByRelay(): boolean {
    return this.#isByRelay;
  }

  /** The first cause, or null while the answer may go on. */
  get cause(): CancellationCause | null {
    return this.#cause;
  }

  /** Ends the answer. A later cause changes nothing of the first, but is told too: it may end what the first let run on. */
  end(cause: CancellationCause): void {
    this.#cause ??= cause;
    this.#isByRelay ||= cause.by !== "client";
    for (const listener of this.#listeners) {
      try {
        listener(cause);
      } catch (error) {
        this.#onBug(error);
      }
    }
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
