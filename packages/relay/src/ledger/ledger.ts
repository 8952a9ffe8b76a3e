/** The ledger as the relay uses it: a queue, and the fencing token that entitles this process to hold money. */
import { CommitQueue } from "./commit-queue.ts";
import type { QueueLimits } from "./commit-queue.ts";
import type { Operation, Result } from "./operation.ts";
import { onlyResult } from "./unit.ts";
import type { FencingToken, Unit, UnitOutcome } from "./unit.ts";

/** A lease for a store that no other process can use. */
export const LEASE_FOREVER_MS = 10 ** 13;

/** What a store offers. @template W what it writes besides the ledger. */
export interface LedgerStore<W> {
  /** Commits units in one transaction, and answers in their order. */
  commit(token: FencingToken, units: readonly Unit<W>[]): readonly UnitOutcome[] | Promise<readonly UnitOutcome[]>;
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

/** @template W what the store writes besides the ledger. */
export class Ledger<W = unknown> {
  readonly #queue: CommitQueue<W>;
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
  constructor(store: LedgerStore<W>, settings: LedgerSettings) {
    this.#settings = settings;
    const token = (): FencingToken => ({ node: settings.node, epoch: this.#epoch, leaseMs: settings.leaseMs });
    const commit = async (units: readonly Unit<W>[]): Promise<readonly UnitOutcome[]> =>
      this.#tellFaults(await store.commit(token(), units));
    this.#queue = new CommitQueue<W>(commit, settings.limits, () => store.trouble ?? null);
  }

  /** Whoever asked hears of a refusal; that it is a mistake of ours is said here, once for each. */
  #tellFaults(outcomes: readonly UnitOutcome[]): readonly UnitOutcome[] {
    for (const outcome of outcomes)
      for (const result of outcome.ok ? outcome.results : [outcome])
        if (!result.ok && result.isFault === true) this.#settings.onTrouble?.(`the ledger: ${result.reason}`);
    return outcomes;
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

  /** @param writes are stored in the same transaction, unless the operation is refused. */
  async ask(operation: Operation, writes: readonly W[] = []): Promise<Result> {
    // What an earlier life left must be ended first, and in its own order.
    if (operation.kind === "hold" && this.#epoch === 0)
      return { ok: false, code: "store_unavailable", reason: "the ledger has not opened yet" };
    const result = await this.#askOne(operation, writes);
    if (result.ok || result.code !== "stale_epoch" || operation.kind !== "hold") return result;
    // The lease ran out while the store could not be reached. Once renewed the same is asked again.
    await this.renew();
    return await this.#askOne(operation, writes);
  }

  async #askOne(operation: Operation, writes: readonly W[] = []): Promise<Result> {
    return onlyResult(await this.#queue.ask({ operations: [operation], writes }));
  }

  /** Several operations, and writes that are stored unless one of them is refused, in one transaction. */
  askAll(operations: readonly Operation[], writes: readonly W[]): Promise<UnitOutcome> {
    return this.#queue.ask({ operations, writes });
  }

  /** Writes without an operation: all are stored or none. They need no {@link start}. */
  write(writes: readonly W[]): Promise<UnitOutcome> {
    return this.#queue.ask({ operations: [], writes });
  }

  /** Units of writes alone that are not stored yet. */
  get waitingWrites(): number {
    return this.#queue.waitingWrites;
  }

  get hasRoomForWrites(): boolean {
    return this.#queue.hasRoomForWrites;
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
    const result = await this.#askOne({ kind: "recover", node: this.#settings.node });
    if (result.ok && result.recovery !== null) this.#epoch = result.recovery.epoch;
    return result;
  }

  /** A peer may have taken this process for dead: then its holds are ended, and it goes on under a new epoch. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const result = await this.#askOne({ kind: "renew_lease" });
    if (result.ok) return;
    this.#settings.onTrouble?.(`the ledger's lease was not renewed: ${result.reason ?? result.code}`);
    if (result.code === "stale_epoch") await this.#recover();
  }
}
