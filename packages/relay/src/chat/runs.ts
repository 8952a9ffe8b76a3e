/** The registry of running answers. A run lives until it is written down, which may be later than its client's response. */
import { AnswerRun } from "./answer.ts";
import type { ChatParts, Client } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { relayError } from "./relay-error.ts";

/** A running request, as the rest of the relay sees it. */
export interface Run {
  readonly id: string;
  readonly keyId: string;
  /** Resolves when the request is over and written down. Never rejects. */
  readonly done: Promise<void>;
}

interface Registered extends Run {
  readonly answer: AnswerRun;
}

export class Runs {
  readonly #parts: ChatParts;
  readonly #running = new Map<string, Registered>();
  readonly #byKey = new Map<string, Set<Registered>>();
  #whenIdle: (() => void)[] = [];

  constructor(parts: ChatParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#running.size;
  }

  /** @returns whether the request of this id still runs. */
  has(id: string): boolean {
    return this.#running.has(id);
  }

  /** Answers a request. @param onOver is called once, when it is over and written down: what was taken for the run is given back there. */
  start(exchange: Exchange, client: Client, onOver: () => void): Run {
    const answer = new AnswerRun(exchange, client, this.#parts);
    const done = answer.run().then(() => this.#end(run, onOver));
    const run: Registered = { id: exchange.id, keyId: exchange.key.id, answer, done };
    this.#running.set(run.id, run);
    this.#byKey.set(run.keyId, (this.#byKey.get(run.keyId) ?? new Set()).add(run));
    return run;
  }

  #end(run: Registered, onOver: () => void): void {
    this.#remove(run);
    try {
      onOver();
    } catch (error) {
      this.#parts.onBug(run.id, error);
    }
  }

  #remove(run: Registered): void {
    this.#running.delete(run.id);
    const ofKey = this.#byKey.get(run.keyId);
    ofKey?.delete(run);
    if (ofKey?.size === 0) this.#byKey.delete(run.keyId);
    if (this.#running.size > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Ends all answers of a key with `key_revoked`. */
  revokeKey(keyId: string): void {
    const error = relayError("key_revoked", "This key was revoked while the answer ran.", { shouldRetry: false });
    for (const { answer } of this.#byKey.get(keyId) ?? []) answer.end({ by: "relay", error });
  }

  /** Ends all answers with `relay_stopped`. @returns when they are written down. */
  async stopAll(): Promise<void> {
    const error = relayError("relay_stopped", "The relay is shutting down. Send the request again.");
    const running = [...this.#running.values()];
    for (const { answer } of running) answer.end({ by: "relay", error });
    await Promise.all(running.map(({ done }) => done));
  }

  /** Resolves when no answer runs. */
  idle(): Promise<void> {
    return this.#running.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#whenIdle.push(resolve));
  }
}
