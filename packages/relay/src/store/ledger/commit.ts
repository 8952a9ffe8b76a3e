/** One batch, one transaction: lock, load, decide, write. A batch that fails is halved, so that one bad operation refuses only itself. */
import { applyBatch } from "../../ledger/apply-batch.ts";
import { NO_USAGE, requestRow } from "../../insight/row.ts";
import type { RequestRow } from "../../insight/row.ts";
import type { Operation, Result } from "../../ledger/operation.ts";
import type { Changes, Hold } from "../../ledger/state.ts";
import { loadNodes, loadState } from "./load.ts";
import { writeChanges } from "./write.ts";
import { RECOVERED } from "../tables/request-rows.ts";
import { inEach } from "../sql/dialect.ts";
import { read } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { transaction } from "../transaction.ts";
import { applyWrites } from "../tables/writes.ts";
import type { Write } from "../tables/writes.ts";

/** Who commits: a process and the epoch its recovery gave it. */
export interface FencingToken {
  readonly node: string;
  readonly epoch: number;
  /** For how long a renewed lease runs. */
  readonly leaseMs: number;
}

export interface CommitSettings {
  /** Null takes the database's own clock. */
  readonly now: (() => number) | null;
}

/** Somebody else keeps a row that the batch needs. */
export class RowsLocked extends Error {}

/** What is to be written in an operation's transaction if it is not refused. A row gets what its hold was charged. */
export type AttachedWrites = readonly (readonly Write[] | undefined)[];

/**
 * Answers in the order of the operations, after COMMIT.
 * @throws when the connection is lost: then the outcome is unknown, and the same operations may be asked again.
 * @throws {RowsLocked} when a part or all of it is not done because of a lock; see `locked-ledger.ts`.
 */
export function* commitBatch(
  settings: CommitSettings,
  seat: FencingToken,
  operations: readonly Operation[],
  attachedWrites: AttachedWrites = [],
): Sql<Result[]> {
  if (operations.length === 0) return [];
  const outcome = yield* transaction((isAgain) => decideAndWrite(settings, seat, operations, attachedWrites, isAgain));
  if (outcome.ok) return outcome.value;
  if (outcome.isLocked) throw new RowsLocked(outcome.reason);
  if (outcome.isEverybody) return operations.map(() => ({ ok: false, code: "store_unavailable", reason: outcome.reason }));
  if (operations.length === 1) return [{ ok: false, code: "store_failed", reason: outcome.reason }];
  const middle = operations.length >> 1;
  const first = yield* commitBatch(settings, seat, operations.slice(0, middle), attachedWrites.slice(0, middle));
  return [...first, ...(yield* commitBatch(settings, seat, operations.slice(middle), attachedWrites.slice(middle)))];
}

function* decideAndWrite(
  settings: CommitSettings,
  seat: FencingToken,
  operations: readonly Operation[],
  attachedWrites: AttachedWrites,
  isAgain: boolean,
): Sql<Result[]> {
  const nodes = yield* loadNodes(operations, seat.node);
  const nowMs = settings.now === null ? yield* databaseNow() : settings.now();
  const state = yield* loadState(operations, nodes, nowMs);
  const { results, changes } = applyBatch(state, operations, {
    nowMs,
    node: seat.node,
    epoch: seat.epoch,
    leaseUntilMs: nowMs + seat.leaseMs,
  });
  yield* writeChanges(changes);
  const writes = [...results.flatMap((result, at) => writesOf(attachedWrites[at], result)), ...recoveredRows(changes)];
  if (writes.length > 0) yield* applyWrites(writes, isAgain);
  return results;
}

function writesOf(given: readonly Write[] | undefined, result: Result): readonly Write[] {
  if (given === undefined || !result.ok) return [];
  // What was done before is noted already.
  const writes = result.isRepeat ? given.filter((write) => write.kind !== "audit") : given;
  const charged = result.balances === null ? null : (result.hold?.chargedNanos ?? null);
  if (charged === null) return writes;
  return writes.map((write) => (write.kind === "row" ? { ...write, row: { ...write.row, chargeNanos: String(charged) } } : write));
}

/** Rows of requests whose process died: what is known of them is what their holds say. */
function recoveredRows(changes: Changes): Write[] {
  // A hold may have been made in the same batch.
  const touched = [...changes.holds.added, ...changes.holds.changed.map(({ after }) => after)];
  return touched.filter(({ state }) => state === "recovered").map((hold) => ({ kind: "row", row: recoveredRow(hold) }));
}

function recoveredRow(hold: Readonly<Hold>): RequestRow {
  const { id, accountId, keyId, model, priceId, createdAtMs, inputTokens, outputTokens, walletId, chargedNanos } = hold;
  return requestRow({
    id,
    at: createdAtMs,
    accountId,
    keyId,
    model,
    priceId,
    endpoint: "unknown",
    revision: null,
    isStream: true,
    status: 0,
    endReason: "relay_stopped",
    errorCode: "relay_stopped",
    marks: [RECOVERED],
    usage: { ...NO_USAGE, input: inputTokens, output: outputTokens },
    basis: hold.basis === "checkpoint" ? "checkpoint" : "none",
    chargeNanos: walletId === null ? null : String(chargedNanos ?? 0n),
    durationMs: Math.max(0, (hold.closedAtMs ?? createdAtMs) - createdAtMs),
  });
}

const NOW = inEach(({ now }) => `SELECT ${now} AS now`);

/** Read after the locks were taken: it is the instant of the decision, not of the wait. */
function* databaseNow(): Sql<number> {
  const [row] = yield* read(NOW, []);
  return Number(row?.["now"]);
}
