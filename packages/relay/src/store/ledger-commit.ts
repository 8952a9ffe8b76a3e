/** One batch, one transaction: lock, load, decide, write. A batch that fails is halved, so that one bad operation refuses only itself. */
import { applyBatch } from "../ledger/apply-batch.ts";
import type { Operation, Result } from "../ledger/operation.ts";
import { loadNodes, loadState } from "./ledger-load.ts";
import { writeChanges } from "./ledger-write.ts";
import { GuardFailed, read } from "./sql.ts";
import type { Dialect, Sql } from "./sql.ts";
import { kindOfFailure } from "./sql-errors.ts";

/** How often a transaction that lost against another one is tried again. */
const RETRIES_MAX = 5;

/** Who commits: a process and the epoch its recovery gave it. */
export interface Seat {
  readonly node: string;
  readonly epoch: number;
  /** For how long a renewed lease runs. */
  readonly leaseMs: number;
}

export interface CommitSettings {
  readonly dialect: Dialect;
  /** Null takes the database's own clock. */
  readonly now: (() => number) | null;
}

/**
 * Answers in the order of the operations, after COMMIT.
 * @throws when the connection is lost: then the outcome is unknown, and the same operations may be asked again.
 */
export function* commitBatch(settings: CommitSettings, seat: Seat, operations: readonly Operation[]): Sql<Result[]> {
  if (operations.length === 0) return [];
  const outcome = yield* tryBatch(settings, seat, operations);
  if (outcome.ok) return outcome.results;
  if (outcome.isEverybody) return operations.map(() => ({ ok: false, code: "store_unavailable", reason: outcome.reason }));
  if (operations.length === 1) return [{ ok: false, code: "store_failed", reason: outcome.reason }];
  const middle = operations.length >> 1;
  const first = yield* commitBatch(settings, seat, operations.slice(0, middle));
  return [...first, ...(yield* commitBatch(settings, seat, operations.slice(middle)))];
}

type Outcome =
  | { readonly ok: true; readonly results: Result[] }
  /** Nothing is stored. `isEverybody`: no operation is to blame, so halving would not help. */
  | { readonly ok: false; readonly isEverybody: boolean; readonly reason: string };

function* tryBatch(settings: CommitSettings, seat: Seat, operations: readonly Operation[]): Sql<Outcome> {
  for (let tries = 1; ; tries++) {
    try {
      yield { kind: "begin" };
      const results = yield* decideAndWrite(settings, seat, operations);
      yield { kind: "commit" };
      return { ok: true, results };
    } catch (error) {
      const kind = error instanceof GuardFailed ? "conflict" : kindOfFailure(error);
      if (kind === "connection") throw error;
      yield { kind: "rollback" };
      if (kind === "conflict" && tries <= RETRIES_MAX) continue;
      return { ok: false, isEverybody: kind === "database", reason: error instanceof Error ? error.message : String(error) };
    }
  }
}

function* decideAndWrite(settings: CommitSettings, seat: Seat, operations: readonly Operation[]): Sql<Result[]> {
  const nodes = yield* loadNodes(settings.dialect, operations, seat.node);
  const nowMs = settings.now === null ? yield* databaseNow(settings.dialect) : settings.now();
  const state = yield* loadState(settings.dialect, operations, nodes, nowMs);
  const { results, changes } = applyBatch(state, operations, {
    nowMs,
    node: seat.node,
    epoch: seat.epoch,
    leaseUntilMs: nowMs + seat.leaseMs,
  });
  yield* writeChanges(settings.dialect, changes);
  return results;
}

/** Read after the locks were taken: it is the instant of the decision, not of the wait. */
function* databaseNow(dialect: Dialect): Sql<number> {
  const now = dialect === "sqlite" ? "unixepoch('subsec') * 1000" : "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
  const [row] = yield* read(`SELECT ${now} AS now`, []);
  return Math.floor(Number(row?.["now"]));
}
