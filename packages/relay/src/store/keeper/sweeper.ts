/** What must be done now and then: credit expires though nobody asks for it, and relays die without a word. */
import { errorText } from "../../basics/error-text.ts";
import type { Ledger } from "../../ledger/ledger.ts";
import type { DeadNode } from "../queries/queries.ts";
import type { Store } from "../store.ts";

const SWEEP_EVERY_MS = 10_000;
/** A sweep that comes later than this says that this process, or the whole machine, stood still. */
const PAUSE_MS = 2 * SWEEP_EVERY_MS;
const EXPIRED_AT_ONCE = 100;

export interface SweeperParts {
  readonly store: Pick<Store, "query" | "trouble">;
  readonly ledger: Pick<Ledger, "ask" | "renew" | "node">;
  /** Of other relays; null when there can be none. */
  readonly deadAfterMs: number | null;
  readonly onTrouble: (message: string) => void;
  /** Replaces the clock in tests: one that never goes back, in milliseconds. */
  readonly now?: () => number;
}

/** A lease that was over, and when that was first seen. */
interface Suspect {
  readonly leaseUntilMs: number;
  readonly sinceMs: number;
}

export class Sweeper {
  readonly #parts: SweeperParts;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | null = null;
  #answersSince: number | null = null;
  #sweptAt: number | null = null;
  #suspects = new Map<string, Suspect>();

  constructor(parts: SweeperParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
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
    const now = this.#now();
    const hasPaused = this.#sweptAt !== null && now - this.#sweptAt > PAUSE_MS;
    this.#sweptAt = now;
    if (store.trouble !== null || hasPaused) this.#answersSince = null;
    if (store.trouble !== null) return;
    this.#answersSince ??= now;
    try {
      for (const accountId of await store.query("expiredAccounts", { nowMs: Date.now(), limit: EXPIRED_AT_ONCE }))
        await ledger.ask({ kind: "expire_lots", accountId });
      if (deadAfterMs === null) return;
      await ledger.renew();
      // After an outage every lease is over, of those that live too: they get the time to say so.
      if (now - this.#answersSince < deadAfterMs) this.#suspects.clear();
      else await this.#endDead(await store.query("deadNodes", { own: ledger.node }), now, deadAfterMs / 3);
    } catch (error) {
      onTrouble(`sweeping failed: ${errorText(error)}`);
    }
  }

  /**
   * A clock that jumps ahead ends every lease, too. Who lives renews it several times within its length: dead is whose lease
   * has not moved since it was first seen to be over, `patienceMs` ago.
   */
  async #endDead(dead: readonly DeadNode[], now: number, patienceMs: number): Promise<void> {
    const { ledger, onTrouble } = this.#parts;
    const seen = this.#suspects;
    this.#suspects = new Map();
    for (const { node, leaseUntilMs } of dead) {
      const known = seen.get(node);
      const suspect = known?.leaseUntilMs === leaseUntilMs ? known : { leaseUntilMs, sinceMs: now };
      if (known !== suspect || now - suspect.sinceMs < patienceMs) {
        this.#suspects.set(node, suspect);
        continue;
      }
      const result = await ledger.ask({ kind: "recover", node });
      if (result.ok) onTrouble(`the relay ${node} is gone: its ${result.recovery?.holds.length ?? 0} open holds are ended`);
      else this.#suspects.set(node, suspect);
    }
  }
}
