/** The ledger as the relay uses it: a queue, and the seat that entitles this process to hold money. */
import type { Operation, OperationOf, Result } from "./operation.ts";
import { LedgerQueue } from "./queue.ts";
import type { CommitBatch, QueueLimits } from "./queue.ts";

/** A lease for a store that no other process can use. */
export const LEASE_FOREVER_MS = 10 ** 13;

/** Who asks, see `store/ledger/commit.ts`. */
interface FencingToken {
  readonly node: string;
  readonly epoch: number;
  readonly leaseMs: number;
}

/** What a store offers. */
export interface LedgerStore<Rider> {
  commit(
    seat: FencingToken,
    operations: readonly Operation[],
    attachedWrites: readonly (Rider | undefined)[],
  ): Result[] | Promise<Result[]>;
  /** Why it is known not to answer, or null. */
  readonly trouble?: string | null;
}

export interface LedgerSettings {
  /** Unique per process: two processes of one name would end each other's holds. */
  readonly node: string;
  readonly leaseMs: number;
  readonly limits?: Partial<QueueLimits>;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble?: (message: string) => void;
}

/** @template Rider what the store writes in the transaction of an operation that is not refused. */
export class Ledger<Rider = unknown> {
  readonly #queue: LedgerQueue<Rider>;
  readonly #settings: LedgerSettings;
  #epoch = 0;
  #heartbeat: NodeJS.Timeout | null = null;
  #renewing: Promise<void> | null = null;

  /** A ledger that is ready. */
  static async open<R>(store: LedgerStore<R>, settings: LedgerSettings): Promise<Ledger<R>> {
    const ledger = new Ledger<R>(store, settings);
    await ledger.start();
    return ledger;
  }

  /** Holds can be ended at once, but none is made before {@link start}. */
  constructor(store: LedgerStore<Rider>, settings: LedgerSettings) {
    this.#settings = settings;
    const seat = (): FencingToken => ({ node: settings.node, epoch: this.#epoch, leaseMs: settings.leaseMs });
    const commit: CommitBatch<Rider> = async (operations, attachedWrites) =>
      this.#tellFaults(await store.commit(seat(), operations, attachedWrites));
    this.#queue = new LedgerQueue<Rider>(commit, settings.limits, () => store.trouble ?? null);
  }

  /** Whoever asked hears of a refusal; that it is a mistake of ours is said here, once for each. */
  #tellFaults(results: readonly Result[]): readonly Result[] {
    for (const result of results) if (!result.ok && result.isFault === true) this.#settings.onTrouble?.(`the ledger: ${result.reason}`);
    return results;
  }

  /**
   * Ends what an earlier life of this process left, and takes a new epoch.
   * @throws when the store does not answer: nothing may be sold then.
   */
  async start(): Promise<void> {
    const { leaseMs } = this.#settings;
    const result = await this.#recover();
    if (!result.ok) throw new Error(`the ledger did not open: ${result.reason ?? result.code}`);
    if (leaseMs < LEASE_FOREVER_MS) this.#heartbeat = setInterval(() => void this.renew(), leaseMs / 4).unref();
  }

  /** @param attachedWrite is stored in the same transaction, unless the operation is refused. */
  async ask(operation: Operation, attachedWrite?: Rider): Promise<Result> {
    const result = await this.#queue.ask(operation, attachedWrite);
    if (result.ok || result.code !== "stale_epoch" || operation.kind !== "hold") return result;
    // The lease ran out while the store could not be reached. Once renewed the same is asked again.
    await this.renew();
    return await this.#queue.ask(operation, attachedWrite);
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

  /** Name of this process in the ledger. */
  get node(): string {
    return this.#settings.node;
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
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const result = await this.#queue.ask({ kind: "renew_lease" });
    if (result.ok) return;
    this.#settings.onTrouble?.(`the ledger's lease was not renewed: ${result.reason ?? result.code}`);
    if (result.code === "stale_epoch") await this.#recover();
  }
}
