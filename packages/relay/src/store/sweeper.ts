/** What must be done now and then: credit expires though nobody asks for it, and relays die without a word. */
import type { Ledger } from "../ledger/ledger.ts";
import type { Store } from "./store.ts";

const SWEEP_EVERY_MS = 10_000;
const EXPIRED_AT_ONCE = 100;

export interface SweeperParts {
  readonly store: Pick<Store, "query" | "trouble">;
  readonly ledger: Pick<Ledger, "ask">;
  /** Of other relays; null when there can be none. */
  readonly deadAfterMs: number | null;
  readonly onTrouble: (message: string) => void;
}

export class Sweeper {
  readonly #parts: SweeperParts;
  #timer: NodeJS.Timeout | null = null;
  #answersSince: number | null = null;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => void this.sweep(), SWEEP_EVERY_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Never rejects. */
  async sweep(): Promise<void> {
    const { store, ledger, deadAfterMs, onTrouble } = this.#parts;
    const now = performance.now();
    if (store.trouble !== null) this.#answersSince = null;
    else this.#answersSince ??= now;
    if (this.#answersSince === null) return;
    try {
      for (const accountId of await store.query("expiredAccounts", { nowMs: Date.now(), limit: EXPIRED_AT_ONCE }))
        await ledger.ask({ kind: "expire_lots", accountId });
      // After an outage every lease is over, of those that live too: they get the time to say so.
      if (deadAfterMs === null || now - this.#answersSince < deadAfterMs) return;
      for (const node of await store.query("deadNodes", {})) {
        const result = await ledger.ask({ kind: "recover", node });
        if (result.ok) onTrouble(`the relay ${node} is gone: its ${result.recovery?.holds.length ?? 0} open holds are ended`);
      }
    } catch (error) {
      onTrouble(`sweeping failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
