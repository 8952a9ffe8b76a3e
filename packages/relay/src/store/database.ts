/** What every kind of database offers; `open-store.ts` opens the one that the configuration names. */
import type { FencingToken, UnitOutcome } from "../ledger/unit.ts";
import type { CommitUnit } from "./ledger/commit.ts";
import type { ControlRecords, QueryAnswer, QueryArgs, QueryName } from "./queries/queries.ts";

export interface Database {
  /** Other relays may use it, too. */
  readonly isShared: boolean;
  /** Why it does not answer, or null: then nothing need wait for it. */
  readonly trouble: string | null;
  /** It does not answer yet, as was to be expected: another relay on the same data still ends. */
  readonly isAwaited?: boolean;
  /** Commits units in one transaction, and answers in their order. One batch at a time: the commit queue sees to that. */
  commit(token: FencingToken, units: readonly CommitUnit[]): Promise<UnitOutcome[]>;
  query<N extends QueryName>(name: N, args: QueryArgs<N>): Promise<QueryAnswer<N>>;
  /** Calls back with what is changed after `since`, by any relay, within a second; where nobody else can change anything, never. */
  watch(since: number, onRecords: (records: ControlRecords) => void): void;
  /** Resolves when what other relays changed before the call is told to whoever watches, or cannot be read. */
  fresh(): Promise<void>;
  close(): Promise<void>;
}
