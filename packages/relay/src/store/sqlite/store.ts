/** The embedded store: SQLite, with a writer thread that commits in groups, and a reader thread beside it. */
import type { FencingToken, UnitOutcome } from "../../ledger/unit.ts";
import type { Database } from "../database.ts";
import type { CommitUnit } from "../ledger/commit.ts";
import type { QueryAnswer, QueryArgs, QueryName } from "../queries/queries.ts";
import type { WriterData, WriterMessage } from "./writer.ts";
import { WorkerClient } from "./worker-client.ts";

export interface SqliteSettings extends WriterData {
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export class SqliteStore implements Database {
  readonly isShared = false;
  readonly #writer: WorkerClient;
  readonly #reader: WorkerClient;

  private constructor(writer: WorkerClient, reader: WorkerClient) {
    this.#writer = writer;
    this.#reader = reader;
  }

  /**
   * Opens the file, making or migrating it. Nobody else may write it: see `data-directory.ts`.
   * @throws when it cannot be opened, or is of a newer program.
   */
  static async open({ onTrouble, ...data }: SqliteSettings): Promise<SqliteStore> {
    let isOpen = false;
    const writer = new WorkerClient("writer", data, (reason) => {
      // Before it is open whoever opens it hears of it.
      if (isOpen) onTrouble(`the store stopped: ${reason}`);
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
    isOpen = true;
    return new SqliteStore(writer, reader);
  }

  get trouble(): string | null {
    return this.#writer.death;
  }

  async commit(token: FencingToken, units: readonly CommitUnit[]): Promise<UnitOutcome[]> {
    return (await this.#writer.ask({ kind: "commit", token, units } satisfies WriterMessage)) as UnitOutcome[];
  }

  async query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>> {
    return (await this.#reader.ask({ name, args })) as QueryAnswer<N>;
  }

  /** No other process changes an embedded database. */
  watch(): void {}

  fresh(): Promise<void> {
    return Promise.resolve();
  }

  /** After what was asked is answered; bounded. */
  async close(): Promise<void> {
    await this.#reader.close();
    await this.#writer.close();
  }
}
