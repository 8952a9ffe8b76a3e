/**
 * The only writer of the database, in a thread of its own, so that a sync of the disk never stalls a stream.
 * It gets batches and answers each once it is committed.
 */
import { DatabaseSync } from "node:sqlite";
import { workerData } from "node:worker_threads";
import type { Operation } from "../../ledger/operation.ts";
import type { FencingToken } from "../../ledger/unit.ts";
import type { CommitUnit } from "../ledger/commit.ts";
import { SqliteLedger } from "./ledger.ts";
import { migrateSqlite } from "./migrate.ts";
import { SqliteRunner } from "./runner.ts";
import { answerMessages } from "./worker-server.ts";
import { isDecidedWrite } from "../tables/writes.ts";

export interface WriterData {
  readonly path: string;
  /** `power`: every commit is synced to the disk before it is answered. */
  readonly durability: "process" | "power";
}

export type WriterMessage =
  | { readonly kind: "open" }
  | { readonly kind: "commit"; readonly token: FencingToken; readonly units: readonly CommitUnit[] };

/** Operations that people decided. */
const DECIDED: ReadonlySet<Operation["kind"]> = new Set([
  "credit",
  "adjust",
  "correct",
  "open_wallet",
  "set_wallet",
  "set_budget",
  "reserve_refund",
  "finish_refund",
]);

const { path, durability } = workerData as WriterData;
const database = new DatabaseSync(path, { timeout: 5_000 });
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
migrateSqlite(database);
const runner = new SqliteRunner(database);
// The database has no clock but this machine's, and asking it costs a statement.
const ledger = new SqliteLedger(database, () => Date.now(), runner);
let isSynced: boolean | null = null;

/** What people decided is synced to the disk before it is answered. */
function isDecided({ operations, writes }: CommitUnit): boolean {
  return operations.some(({ kind }) => DECIDED.has(kind)) || writes.some(isDecidedWrite);
}

function sync(isNeeded: boolean): void {
  const wanted = isNeeded || durability === "power";
  if (wanted === isSynced) return;
  database.exec(`PRAGMA synchronous = ${wanted ? "FULL" : "NORMAL"}`);
  isSynced = wanted;
}

function answer(message: WriterMessage): unknown {
  switch (message.kind) {
    case "open":
      return null;
    case "commit":
      sync(message.units.some(isDecided));
      return ledger.commit(message.token, message.units);
  }
}

answerMessages(answer, () => {
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
});
