/** One batch, one transaction: lock, load, decide, write. */
import { applyBatch } from "../../ledger/apply-batch.ts";
import { NO_USAGE, requestRow } from "../../insight/row.ts";
import type { RequestRow } from "../../insight/row.ts";
import type { Operation, Result } from "../../ledger/operation.ts";
import type { FencingToken, Unit, UnitOutcome } from "../../ledger/unit.ts";
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

export interface CommitSettings {
  /** Null takes the database's own clock. */
  readonly now: (() => number) | null;
}

/** Somebody else keeps a row that the batch needs. */
export class RowsLocked extends Error {}

/** Operations of the ledger and what is written with them, or writes alone. The row of a request gets what its hold was charged. */
export type CommitUnit = Unit<Write>;

/**
 * Many units in one transaction, each stored whole or not at all; answers in their order, after COMMIT. Where they fail together
 * they are halved, so that a bad one refuses only itself.
 * @throws when the connection is lost: then the outcome is unknown, and the same operations may be asked again.
 * @throws {RowsLocked} when a part or all of it is not done because of a lock; see `postgres/locked-rows.ts`.
 */
export function* commitUnits(settings: CommitSettings, token: FencingToken, units: readonly CommitUnit[]): Sql<UnitOutcome[]> {
  if (units.length === 0) return [];
  const outcome = yield* transaction((isAgain) => decideAndWrite(settings, token, units, isAgain));
  if (outcome.ok) return outcome.value.map((results) => ({ ok: true, results }));
  const { reason, isLocked, isEverybody } = outcome;
  if (isLocked) throw new RowsLocked(reason);
  if (isEverybody || units.length === 1)
    return units.map(() => ({ ok: false, code: isEverybody ? "store_unavailable" : "store_failed", reason }));
  const middle = units.length >> 1;
  const first = yield* commitUnits(settings, token, units.slice(0, middle));
  return [...first, ...(yield* commitUnits(settings, token, units.slice(middle)))];
}

/** @returns the results of each unit's operations. */
function* decideAndWrite(settings: CommitSettings, token: FencingToken, units: readonly CommitUnit[], isAgain: boolean): Sql<Result[][]> {
  const operations = units.flatMap((unit) => unit.operations);
  const { results, recovered } = operations.length === 0 ? NOTHING_ASKED : yield* decide(settings, token, operations);
  let at = 0;
  const byUnit = units.map((unit) => results.slice(at, (at += unit.operations.length)));
  // A row that is known from its request comes after, and so in the place of, one that is made from its hold.
  const writes = [...recovered, ...units.flatMap((unit, which) => writesOf(unit, byUnit[which] ?? []))];
  if (writes.length > 0) yield* applyWrites(writes, isAgain);
  return byUnit;
}

interface Decided {
  readonly results: readonly Result[];
  /** Rows of the requests whose holds a recovery ended. */
  readonly recovered: readonly Write[];
}

const NOTHING_ASKED: Decided = { results: [], recovered: [] };

function* decide(settings: CommitSettings, token: FencingToken, operations: readonly Operation[]): Sql<Decided> {
  const nodes = yield* loadNodes(operations, token.node);
  const nowMs = settings.now === null ? yield* databaseNow() : settings.now();
  const state = yield* loadState(operations, nodes, nowMs);
  const { results, changes } = applyBatch(state, operations, {
    nowMs,
    node: token.node,
    epoch: token.epoch,
    leaseUntilMs: nowMs + token.leaseMs,
  });
  yield* writeChanges(changes);
  return { results, recovered: recoveredRows(changes) };
}

function writesOf({ operations, writes }: CommitUnit, results: readonly Result[]): readonly Write[] {
  const done = results.filter((result) => result.ok);
  if (writes.length === 0 || done.length < operations.length) return [];
  // What was done before is noted already.
  const isRepeat = done.length > 0 && done.every((result) => result.isRepeat);
  const news = isRepeat ? writes.filter((write) => write.kind !== "audit") : writes;
  const [result] = done;
  const charged = result === undefined || result.balances === null ? null : (result.hold?.chargedNanos ?? null);
  if (charged === null) return news;
  return news.map((write) => (write.kind === "row" ? { ...write, row: { ...write.row, chargeNanos: String(charged) } } : write));
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
