/** The database as most of the relay sees it: queries, and writes that go through the ledger's queue. */
import type { Ledger } from "../ledger/ledger.ts";
import type { UnitOutcome } from "../ledger/unit.ts";
import type { Database } from "./database.ts";
import type { Write } from "./tables/writes.ts";

export interface Store extends Pick<Database, "query" | "fresh" | "trouble" | "isAwaited"> {
  /** Stores all of the writes or none. Never rejects. */
  write(writes: readonly Write[]): Promise<WriteOutcome>;
  /** Writes that have no answer yet, each list of them counted once. */
  readonly waiting: number;
  readonly hasRoom: boolean;
}

/** Null when it is stored. */
type WriteOutcome = WriteFailure | null;

interface WriteFailure {
  readonly reason: string;
  /** The writes themselves are to blame: they fail the next time too, while others are stored. */
  readonly isOwn: boolean;
}

export function storeOver(database: Database, ledger: Pick<Ledger<Write>, "write" | "waitingWrites" | "hasRoomForWrites">): Store {
  return {
    query: (name, args) => database.query(name, args),
    fresh: () => database.fresh(),
    write: async (writes) => writeOutcome(await ledger.write(writes)),
    get trouble() {
      return database.trouble;
    },
    get isAwaited() {
      return database.isAwaited ?? false;
    },
    get waiting() {
      return ledger.waitingWrites;
    },
    get hasRoom() {
      return ledger.hasRoomForWrites;
    },
  };
}

function writeOutcome(outcome: UnitOutcome): WriteOutcome {
  if (outcome.ok) return null;
  return { reason: outcome.reason ?? outcome.code, isOwn: outcome.code === "store_failed" };
}
