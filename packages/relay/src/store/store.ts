/** What every store offers; `open-store.ts` opens the one that the configuration names. */
import type { Operation, Result } from "../ledger/operation.ts";
import type { AttachedWrites, FencingToken } from "./ledger/commit.ts";
import type { ControlRecords, QueryAnswer, QueryArgs, QueryName } from "./queries/queries.ts";
import type { Write, WriteOutcome } from "./tables/writes.ts";

export interface Store {
  /** Other relays may use the same database. */
  readonly isShared: boolean;
  /** Commits operations of the ledger in one transaction. One batch at a time: the ledger's queue sees to that. */
  commit(seat: FencingToken, operations: readonly Operation[], attachedWrites: AttachedWrites): Promise<Result[]>;
  /** Stores all of the writes or none. Never rejects. */
  write(writes: readonly Write[]): Promise<WriteOutcome>;
  query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>>;
  /** Calls back with what is changed after `since`, by any relay, within a second; where nobody else can change anything, never. */
  watch(since: number, onRecords: (records: ControlRecords) => void): void;
  /** Resolves when what other relays changed before the call is told to whoever watches, or cannot be read. */
  fresh(): Promise<void>;
  readonly waiting: number;
  readonly hasRoom: boolean;
  /** Why the database does not answer, or null: then nothing need wait for it. */
  readonly trouble: string | null;
  close(): Promise<void>;
}
