/** Loads what a batch touches, under lock: nodes, wallets, budgets, holds, each sorted by id, so that no two relays deadlock. */
import type { Operation, OperationOf } from "../../ledger/operation.ts";
import { idempotencyId, walletIdOf, windowIdOf } from "../../ledger/state.ts";
import type { Hold, HoldState, Idempotency, LedgerState, LotMove } from "../../ledger/state.ts";
import { windowAt } from "../../ledger/window.ts";
import {
  BUDGETS,
  CORRECTIONS,
  HOLDS,
  IDEMPOTENCY,
  LOT_MOVES,
  LOTS,
  NODES,
  REFUNDS,
  TRANSFERS,
  WALLETS,
  WINDOWS,
} from "../tables/ledger-shapes.ts";
import { among, lockRows, read, readAmong } from "../sql/sql.ts";
import type { Dialect, Sql } from "../sql/sql.ts";
import { columnsOf, objectOf, selectOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";

/** Most of what a batch could need it does not, and a question for nothing costs as much as a small statement. */
const NONE: ReadonlyMap<string, never> = new Map<string, never>();

/** Everything but the nodes, which come first because their lock says who may hold. */
export function* loadState(
  dialect: Dialect,
  operations: readonly Operation[],
  nodes: LedgerState["nodes"],
  nowMs: number,
): Sql<LedgerState> {
  const needs = needsOf(operations);
  const keys = needs.keys.size === 0 ? NONE : yield* loadIdempotency(dialect, needs.keys);
  for (const entry of keys.values()) needs.holdIds.add(entry.holdId);
  if (needs.recovered.size > 0) for (const id of yield* openHoldsOfNodes(dialect, needs.recovered)) needs.holdIds.add(id);
  const found = yield* findHolds(dialect, needs);
  if (needs.refundIds.size > 0) yield* findRefunds(dialect, needs);
  const wallets = yield* loadLocked(dialect, WALLETS, needs.walletIds);
  const budgets = needs.budgetIds.size === 0 ? NONE : yield* loadLocked(dialect, BUDGETS, needs.budgetIds);
  for (const budget of budgets.values()) needs.windowIds.add(windowIdOf(budget.id, windowAt(budget.period, nowMs).startMs));
  const windows = needs.windowIds.size === 0 ? NONE : yield* loadRows(dialect, WINDOWS, "id", needs.windowIds);
  const settledMoves = needs.corrected.size === 0 ? NONE : yield* loadSettledMoves(dialect, needs.corrected);
  for (const moves of settledMoves.values()) for (const move of moves) needs.lotIds.add(move.lotId);
  const lots = yield* loadRows(dialect, LOTS, "wallet_id", wallets.keys(), " AND used_up = 0");
  if (needs.lotIds.size > 0) for (const [id, lot] of yield* loadRows(dialect, LOTS, "id", needs.lotIds)) lots.set(id, lot);
  const expired = [...lots.values()].filter((lot) => lot.expiredAfterHold !== null || (lot.expiresAtMs ?? Infinity) <= nowMs);
  const swept = new Set(expired.map((lot) => lot.walletId));
  // What they may need is kept.
  if (swept.size > 0)
    for (const [id, hold] of yield* readHolds(dialect, "h.wallet_id", swept, " AND h.state = 'open'")) found.set(id, hold);
  const holds = yield* lockHolds(dialect, needs.holdIds, found);
  // Somebody may have ended that hold, and freed its key, while this waited for the locks.
  const mayBeFree = [...keys.values()].some(({ holdId }) => holds.get(holdId)?.state !== "open");
  const idempotency = mayBeFree ? yield* loadIdempotency(dialect, needs.keys) : keys;
  const closedIds = [...holds.values()].filter((hold) => hold.state !== "open").map((hold) => hold.id);
  return {
    wallets,
    lots,
    budgets,
    windows,
    holds,
    idempotency,
    nodes,
    settledMoves,
    transfers: needs.transferIds.size === 0 ? NONE : yield* loadRows(dialect, TRANSFERS, "id", needs.transferIds),
    corrections: closedIds.length === 0 ? NONE : yield* loadRows(dialect, CORRECTIONS, "hold_id", closedIds),
    refunds: needs.refundIds.size === 0 ? NONE : yield* loadRows(dialect, REFUNDS, "id", needs.refundIds),
  };
}

interface Needs {
  readonly walletIds: Set<string>;
  readonly budgetIds: Set<string>;
  readonly windowIds: Set<string>;
  readonly holdIds: Set<string>;
  readonly lotIds: Set<string>;
  readonly transferIds: Set<string>;
  readonly refundIds: Set<string>;
  readonly corrected: Set<string>;
  readonly recovered: Set<string>;
  readonly keys: Map<string, { accountId: string; key: string }>;
}

export function needsOf(operations: readonly Operation[]): Needs {
  const needs: Needs = {
    walletIds: new Set(),
    budgetIds: new Set(),
    windowIds: new Set(),
    holdIds: new Set(),
    lotIds: new Set(),
    transferIds: new Set(),
    refundIds: new Set(),
    corrected: new Set(),
    recovered: new Set(),
    keys: new Map(),
  };
  for (const operation of operations) addNeeds(needs, operation);
  return needs;
}

function addNeeds(needs: Needs, operation: Operation): void {
  if ("accountId" in operation && (operation.kind !== "hold" || operation.isMetered)) needs.walletIds.add(walletIdOf(operation.accountId));
  switch (operation.kind) {
    case "hold":
      return addHoldNeeds(needs, operation);
    case "correct":
      needs.corrected.add(operation.id);
      needs.holdIds.add(operation.id);
      return;
    case "extend":
    case "checkpoint":
    case "settle":
    case "void":
      needs.holdIds.add(operation.id);
      return;
    case "set_budget":
      needs.budgetIds.add(operation.id);
      return;
    case "credit":
    case "adjust":
      needs.transferIds.add(`${operation.kind}:${operation.reference}`);
      return;
    case "reserve_refund":
      needs.lotIds.add(`lot:${operation.reference}`);
      needs.refundIds.add(operation.id);
      return;
    case "finish_refund":
      needs.refundIds.add(operation.id);
      return;
    case "recover":
      needs.recovered.add(operation.node);
      return;
    case "open_wallet":
    case "set_wallet":
    case "expire_lots":
    case "renew_lease":
  }
}

function addHoldNeeds(needs: Needs, operation: OperationOf<"hold">): void {
  needs.holdIds.add(operation.id);
  for (const id of operation.budgetIds) needs.budgetIds.add(id);
  if (operation.idempotency === undefined) return;
  const { accountId, idempotency } = operation;
  needs.keys.set(idempotencyId(accountId, idempotency.key), { accountId, key: idempotency.key });
}

/** The nodes of a batch: the asking one, and those it recovers. */
export function* loadNodes(dialect: Dialect, operations: readonly Operation[], ownNode: string): Sql<LedgerState["nodes"]> {
  return yield* loadLocked(dialect, NODES, nodeIdsOf(operations, ownNode));
}

export function nodeIdsOf(operations: readonly Operation[], ownNode: string): Set<string> {
  const ids = new Set<string>();
  for (const operation of operations) {
    if (operation.kind === "hold" || operation.kind === "extend" || operation.kind === "renew_lease") ids.add(ownNode);
    if (operation.kind === "recover") ids.add(operation.node);
  }
  return ids;
}

function* loadRows<T extends { readonly id: string }>(
  dialect: Dialect,
  shape: Shape<T>,
  column: string,
  ids: Iterable<string>,
  rest = "",
): Sql<Map<string, T>> {
  const rows = yield* readAmong(dialect, selectOf(shape), column, ids, rest);
  return new Map(rows.map((row) => objectOf(shape, row)).map((object) => [object.id, object]));
}

function loadLocked<T extends { readonly id: string }>(dialect: Dialect, shape: Shape<T>, ids: Iterable<string>): Sql<Map<string, T>> {
  return loadRows(dialect, shape, "id", ids, ` ORDER BY id${lockRows(dialect)}`);
}

function* loadIdempotency(dialect: Dialect, keys: Needs["keys"]): Sql<Map<string, Idempotency>> {
  const found = new Map<string, Idempotency>();
  if (keys.size === 0) return found;
  const accountIds = [...new Set([...keys.values()].map((entry) => entry.accountId))];
  const texts = [...new Set([...keys.values()].map((entry) => entry.key))];
  const rows = yield* read(
    `SELECT k.account_id, k.idem_key, k.hold_id, k.body_sha256, k.created_at, h.state FROM idempotency_keys k JOIN holds h ON h.id = k.hold_id
      WHERE ${among(dialect, "k.account_id")} AND ${among(dialect, "k.idem_key")}`,
    [accountIds, texts],
  );
  for (const row of rows) {
    const entry = objectOf(IDEMPOTENCY, row);
    const id = idempotencyId(entry.accountId, entry.key);
    if (keys.has(id)) found.set(id, { ...entry, id, holdState: row["state"] as HoldState });
  }
  return found;
}

function* openHoldsOfNodes(dialect: Dialect, nodes: ReadonlySet<string>): Sql<string[]> {
  const rows = yield* readAmong(dialect, "SELECT id FROM holds", "node", nodes, " AND state = 'open'");
  return rows.map((row) => row["id"] as string);
}

/** Which wallets and windows the holds belong to: that never changes, so it is read before the locks that depend on it. */
function* findHolds(dialect: Dialect, needs: Needs): Sql<Map<string, Hold>> {
  const found = yield* readHolds(dialect, "h.id", needs.holdIds);
  for (const { walletId, windowIds } of found.values()) {
    if (walletId !== null) needs.walletIds.add(walletId);
    for (const windowId of windowIds) {
      needs.windowIds.add(windowId);
      needs.budgetIds.add(windowId.slice(0, windowId.lastIndexOf("@")));
    }
  }
  return found;
}

const HOLDS_WITH_WINDOWS = `SELECT ${columnsOf(HOLDS)
  .map((column) => `h.${column.name}`)
  .join(", ")}, b.window_id FROM holds h LEFT JOIN hold_budgets b ON b.hold_id = h.id`;

function* readHolds(dialect: Dialect, column: string, ids: Iterable<string>, rest = ""): Sql<Map<string, Hold>> {
  const windowIds = new Map<string, string[]>();
  const holds = new Map<string, Hold>();
  for (const row of yield* readAmong(dialect, HOLDS_WITH_WINDOWS, column, ids, rest)) {
    const id = row["id"] as string;
    const ofHold = windowIds.get(id) ?? [];
    if (row["window_id"] !== null) ofHold.push(row["window_id"] as string);
    windowIds.set(id, ofHold);
    holds.set(id, { ...objectOf(HOLDS, row), windowIds: ofHold });
  }
  for (const ofHold of windowIds.values()) ofHold.sort();
  return holds;
}

/** The holds as they are under lock. SQLite's transaction shuts others out from its beginning: there they are as they were found. */
function* lockHolds(dialect: Dialect, ids: Iterable<string>, found: ReadonlyMap<string, Hold>): Sql<ReadonlyMap<string, Hold>> {
  if (dialect === "sqlite") return found;
  const rows = yield* loadLocked(dialect, HOLDS, new Set([...ids, ...found.keys()]));
  return new Map([...rows].map(([id, row]) => [id, { ...row, windowIds: found.get(id)?.windowIds ?? [] }]));
}

function* findRefunds(dialect: Dialect, needs: Needs): Sql<void> {
  for (const row of yield* readAmong(dialect, "SELECT wallet_id, lot_id FROM refunds", "id", needs.refundIds)) {
    needs.walletIds.add(row["wallet_id"] as string);
    needs.lotIds.add(row["lot_id"] as string);
  }
}

function* loadSettledMoves(dialect: Dialect, holdIds: ReadonlySet<string>): Sql<Map<string, LotMove[]>> {
  const transferIds = [...holdIds].flatMap((id) => [`settle:${id}`, `settle:${id}:promo`]);
  const rows = yield* readAmong(dialect, selectOf(LOT_MOVES), "transfer_id", transferIds);
  const moves = new Map<string, LotMove[]>();
  for (const row of rows) {
    const move = objectOf(LOT_MOVES, row);
    const holdId = move.transferId.slice("settle:".length).replace(/:promo$/, "");
    moves.set(holdId, [...(moves.get(holdId) ?? []), move]);
  }
  return moves;
}
