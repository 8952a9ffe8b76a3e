/** The ledger as the relay uses it: a queue, and the seat that entitles this process to hold money. */
import type { Operation, OperationOf, Result } from "./operation.ts";
import { LedgerQueue } from "./queue.ts";
import type { QueueLimits } from "./queue.ts";

/** A lease for a store that no other process can use. */
export const LEASE_FOREVER_MS = 10 ** 13;

/** Who asks, see `store/ledger-commit.ts`. */
interface Seat {
  readonly node: string;
  readonly epoch: number;
  readonly leaseMs: number;
}

/** What a store offers. */
export interface LedgerStore {
  commit(seat: Seat, operations: readonly Operation[]): Result[] | Promise<Result[]>;
}

export interface LedgerSettings {
  /** Unique per process: two processes of one name would end each other's holds. */
  readonly node: string;
  readonly leaseMs: number;
  readonly limits?: Partial<QueueLimits>;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble?: (message: string) => void;
}

export class Ledger {
  readonly #queue: LedgerQueue;
  readonly #settings: LedgerSettings;
  #epoch = 0;
  #heartbeat: NodeJS.Timeout | null = null;

  private constructor(store: LedgerStore, settings: LedgerSettings) {
    this.#settings = settings;
    const seat = (): Seat => ({ node: settings.node, epoch: this.#epoch, leaseMs: settings.leaseMs });
    this.#queue = new LedgerQueue(async (operations) => await store.commit(seat(), operations), settings.limits);
  }

  /**
   * Ends what an earlier life of this process left, and takes a new epoch.
   * @throws when the store does not answer: nothing may be sold then.
   */
  static async open(store: LedgerStore, settings: LedgerSettings): Promise<Ledger> {
    const ledger = new Ledger(store, settings);
    const result = await ledger.#recover();
    if (!result.ok) throw new Error(`the ledger did not open: ${result.reason ?? result.code}`);
    if (settings.leaseMs < LEASE_FOREVER_MS) ledger.#heartbeat = setInterval(() => void ledger.#renew(), settings.leaseMs / 4).unref();
    return ledger;
  }

  ask(operation: Operation): Promise<Result> {
    return this.#queue.ask(operation);
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  get hasRoom(): boolean {
    return this.#queue.hasRoom;
  }

  get epoch(): number {
    return this.#epoch;
  }

  async close(): Promise<void> {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    await this.#queue.close();
  }

  async #recover(): Promise<Result> {
    const result = await this.#queue.ask({ kind: "recover", node: this.#settings.node } satisfies OperationOf<"recover">);
    if (result.ok && result.recovery !== null) this.#epoch = result.recovery.epoch;
    return result;
  }

  /** A peer may have taken this process for dead: then its holds are ended, and it goes on under a new epoch. */
  async #renew(): Promise<void> {
    const result = await this.#queue.ask({ kind: "renew_lease" });
    if (result.ok) return;
    this.#settings.onTrouble?.(`the ledger's lease was not renewed: ${result.code}`);
    if (result.code === "stale_epoch") await this.#recover();
  }
}
