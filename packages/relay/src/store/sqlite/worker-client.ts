/** Questions to a worker thread, answered in their order. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { errorText } from "../../basics/error-text.ts";
import { startThread } from "../../basics/thread.ts";

const CLOSE_WITHIN_MS = 10_000;

/** What a worker says to each question. */
export type WorkerAnswer = { readonly value: unknown } | { readonly failure: string };

interface PendingAsk {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class WorkerClient {
  readonly #worker: Worker;
  readonly #waiting: PendingAsk[] = [];
  readonly #onDeath: (reason: string) => void;
  #death: string | null = null;

  /** @param name of the file beside this one, without its ending. */
  constructor(name: string, workerData: object, onDeath: (reason: string) => void) {
    this.#onDeath = onDeath;
    this.#worker = startThread(import.meta.url, name, workerData);
    this.#worker.on("message", (answer: WorkerAnswer) => this.#settle(answer));
    this.#worker.on("error", (error) => this.#die(errorText(error)));
    this.#worker.on("exit", () => this.#die(`the thread ${name} ended`));
  }

  /** Rejects when the worker fails at it, or dies. */
  ask(message: unknown): Promise<unknown> {
    if (this.#death !== null) return Promise.reject(new Error(this.#death));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(message);
    });
  }

  get death(): string | null {
    return this.#death;
  }

  /** Lets it answer what was asked, then ends it; bounded. */
  async close(): Promise<void> {
    if (this.#death === null) {
      const ended = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
      this.#death = "the store is closed";
      this.#worker.postMessage("close");
      await Promise.race([ended, sleep(CLOSE_WITHIN_MS, undefined, { ref: false })]);
    }
    await this.#worker.terminate();
  }

  #settle(answer: WorkerAnswer): void {
    const waiting = this.#waiting.shift();
    if ("value" in answer) waiting?.resolve(answer.value);
    else waiting?.reject(new Error(answer.failure));
  }

  #die(reason: string): void {
    const isNews = this.#death === null;
    this.#death ??= reason;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error(this.#death));
    if (isNews) this.#onDeath(reason);
  }
}
