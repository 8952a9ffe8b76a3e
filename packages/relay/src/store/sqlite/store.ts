/** The embedded store: SQLite, with a writer thread that commits in groups, and a reader thread beside it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Operation, Result } from "../../ledger/operation.ts";
import type { AttachedWrites, FencingToken } from "../ledger/commit.ts";
import type { QueryAnswer, QueryArgs, QueryName } from "../queries/queries.ts";
import type { WriterData, WriterMessage } from "./writer.ts";
import type { Store } from "../store.ts";
import { WorkerClient } from "./worker-client.ts";
import { WriteQueue } from "../write-queue.ts";
import type { Write, WriteOutcome } from "../tables/writes.ts";

const CLOSE_WITHIN_MS = 10_000;

export interface SqliteSettings extends WriterData {
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export class SqliteStore implements Store {
  readonly isShared = false;
  readonly #writer: WorkerClient;
  readonly #reader: WorkerClient;
  readonly #queue: WriteQueue;

  private constructor(writer: WorkerClient, reader: WorkerClient) {
    this.#writer = writer;
    this.#reader = reader;
    this.#queue = new WriteQueue(async (units) => (await this.#tell({ kind: "writes", units })) as WriteOutcome[]);
  }

  /**
   * Opens the file, making or migrating it. Nobody else may write it: see `data-directory.ts`.
   * @throws when it cannot be opened, or is of a newer program.
   */
  static async open({ onTrouble, ...data }: SqliteSettings): Promise<SqliteStore> {
    const opened: SqliteStore[] = [];
    const writer = new WorkerClient("writer", data, (reason) => {
      // Before it is open whoever opens it hears of it.
      for (const store of opened) store.#queue.close(reason);
      if (opened.length > 0) onTrouble(`the store stopped: ${reason}`);
    });
    try {
      await writer.ask({ kind: "open" } satisfies WriterMessage);
    } catch (error) {
      // The thread ends after it has said why: until then it has the file open.
      await writer.close();
      throw error;
    }
    // Only now is there surely a file to read.
    const reader = new WorkerClient("reader", { path: data.path }, (reason) => onTrouble(`reading the database stopped: ${reason}`));
    const store = new SqliteStore(writer, reader);
    opened.push(store);
    return store;
  }

  #tell(message: WriterMessage): Promise<unknown> {
    return this.#writer.ask(message);
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  get hasRoom(): boolean {
    return this.#queue.hasRoom;
  }

  get trouble(): string | null {
    return this.#writer.death;
  }

  async commit(seat: FencingToken, operations: readonly Operation[], attachedWrites: AttachedWrites = []): Promise<Result[]> {
    return (await this.#tell({ kind: "ledger", seat, operations, attachedWrites })) as Result[];
  }

  write(writes: readonly Write[]): Promise<WriteOutcome> {
    return this.#queue.add(writes);
  }

  async query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>> {
    return (await this.#reader.ask({ name, args })) as QueryAnswer<N>;
  }

  /** No other process changes an embedded database. */
  watch(): void {}

  fresh(): Promise<void> {
    return Promise.resolve();
  }

  /** Waits until all that was given is stored, then closes. Bounded: what is left after ten seconds is refused. */
  async close(): Promise<void> {
    const deadline = Date.now() + CLOSE_WITHIN_MS;
    while (this.waiting > 0 && Date.now() < deadline) await sleep(5);
    this.#queue.close("the store is closed");
    await this.#reader.close();
    await this.#writer.close();
  }
}
