/** The listener's life: it binds, it serves, it ends in order. */
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Runs } from "./chat/runs.ts";

const DONE_CHECK_MS = 10;
/** After an answer was told to stop, its last words and its row get this long. */
const STOP_GRACE_MS = 3_000;
const CLOSE_GRACE_MS = 250;

export interface ShutdownSettings {
  /** Connections are taken for so long after readiness is off. */
  readonly delayMs: number;
  /** Running answers may go on for so long. */
  readonly drainMs: number;
}

export interface LifecycleParts {
  readonly server: Server;
  /** Responses that are not over. */
  readonly open: ReadonlySet<ServerResponse>;
  readonly runs: Runs;
  readonly listen: { readonly host: string; readonly port: number };
  readonly shutdown: () => ShutdownSettings;
  /** Why requests cannot be served just now, or null. */
  readonly trouble: () => string | null;
  /** Lets go of what answers were made with. */
  readonly close: () => Promise<void>;
}

export class Lifecycle {
  readonly #parts: LifecycleParts;
  #isStopping = false;
  #hurry: () => void = () => undefined;
  readonly #hurried: Promise<void>;

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
    this.#hurried = new Promise((resolve) => (this.#hurry = resolve));
  }

  /** Why the relay takes no traffic, or null when it may. */
  notReady(): string | null {
    return this.#isStopping ? "stopping" : this.#parts.trouble();
  }

  /** @returns the port. Rejects when the address cannot be bound. */
  listen(): Promise<number> {
    const { server, listen } = this.#parts;
    return new Promise((resolve, reject) => {
      const onListening = (): void => {
        server.removeListener("error", onError);
        resolve((server.address() as AddressInfo).port);
      };
      // The same server may be asked again.
      const onError = (error: Error): void => {
        server.removeListener("listening", onListening);
        reject(error);
      };
      server.once("error", onError);
      server.once("listening", onListening);
      server.listen(listen.port, listen.host);
    });
  }

  /** Ends the drain now. */
  hurry(): void {
    this.#hurry();
  }

  /** Readiness off, then, after the balancer's delay, no new connections; answers may end until `drainMs`, then are stopped. */
  async stop(settings: ShutdownSettings = this.#parts.shutdown()): Promise<void> {
    const { server, runs } = this.#parts;
    this.#isStopping = true;
    if (settings.delayMs > 0) await this.#wait(settings.delayMs);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    await Promise.race([this.#wait(settings.drainMs), this.#allDone()]);
    await Promise.race([runs.stopAll(), sleep(STOP_GRACE_MS)]);
    server.closeIdleConnections();
    await Promise.race([closed, sleep(CLOSE_GRACE_MS)]);
    server.closeAllConnections();
    await this.#parts.close();
  }

  #wait(ms: number): Promise<unknown> {
    return Promise.race([sleep(ms), this.#hurried]);
  }

  /** Until no answer is under way, none waits for a slow reader, and no request is still being sent to us. */
  async #allDone(): Promise<void> {
    const { runs, open } = this.#parts;
    while (runs.size > 0 || open.size > 0) await sleep(DONE_CHECK_MS);
  }
}
