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
import { inEach } from "../sql/dialect.ts";
import { read, readAmong } from "../sql/sql.ts";
import type { Lookup, Sql } from "../sql/sql.ts";
import { objectOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";
import { lookup } from "../sql/statements.ts";
import type { LookupOptions } from "../sql/statements.ts";

/** Rows of a shape, found by one of its columns. */
interface RowsBy<T> {
  readonly shape: Shape<T>;
  readonly find: Lookup;
}

function rowsBy<T>(shape: Shape<T>, column: string, options?: LookupOptions): RowsBy<T> {
  return { shape, find: lookup(shape.select, column, options) };
}

/** Locked in the order of their ids. */
const LOCKED: LookupOptions = { end: " ORDER BY id", isLocking: true };
const NODES_LOCKED = rowsBy(NODES, "id", LOCKED);
const WALLETS_LOCKED = rowsBy(WALLETS, "id", LOCKED);
const BUDGETS_LOCKED = rowsBy(BUDGETS, "id", LOCKED);
const WINDOWS_BY_ID = rowsBy(WINDOWS, "id");
const LOTS_OF_WALLETS = rowsBy(LOTS, "wallet_id", { end: " AND used_up = 0" });
const LOTS_BY_ID = rowsBy(LOTS, "id");
const TRANSFERS_BY_ID = rowsBy(TRANSFERS, "id");
const CORRECTIONS_OF_HOLDS = rowsBy(CORRECTIONS, "hold_id");
const REFUNDS_BY_ID = rowsBy(REFUNDS, "id");
const MOVES_OF_TRANSFERS = lookup(LOT_MOVES.select, "transfer_id");
const OPEN_HOLDS_OF_NODES = lookup("SELECT id FROM holds", "node", { end: " AND state = 'open'" });
const WALLETS_OF_REFUNDS = lookup("SELECT wallet_id, lot_id FROM refunds", "id");

const HOLDS_WITH_WINDOWS = `SELECT ${HOLDS.columns.map(({ name }) => `h.${name}`).join(", ")}, b.window_id FROM holds h LEFT JOIN hold_budgets b ON b.hold_id = h.id`;
const HOLDS_BY_ID = lookup(HOLDS_WITH_WINDOWS, "h.id");
const OPEN_HOLDS_OF_WALLETS = lookup(HOLDS_WITH_WINDOWS, "h.wallet_id", { end: " AND h.state = 'open'" });
/** SQLite's transaction shuts others out from its beginning: there the holds stay as they were found. */
const LOCK_HOLDS = lookup(HOLDS.select, "id", { ...LOCKED, only: "postgres" });
const KEYS_OF_ACCOUNTS = inEach(
  ({
    among,
  }) => `SELECT k.account_id, k.idem_key, k.hold_id, k.body_sha256, k.created_at, h.state FROM idempotency_keys k JOIN holds h ON h.id = k.hold_id
      WHERE ${among("k.account_id")} AND ${among("k.idem_key")}`,
);

/** Most of what a batch could need it does not, and a question for nothing costs as much as a small statement. */
const NONE: ReadonlyMap<string, never> = new Map<string, never>();

/** Everything but the nodes, which come first because their lock says who may hold. */
export function* loadState(operations: readonly Operation[], nodes: LedgerState["nodes"], nowMs: number): Sql<LedgerState> {
  const needs = needsOf(operations);
  const keys = needs.keys.size === 0 ? NONE : yield* loadIdempotency(needs.keys);
  for (const entry of keys.values()) needs.holdIds.add(entry.holdId);
  if (needs.recovered.size > 0) for (const id of yield* openHoldsOfNodes(needs.recovered)) needs.holdIds.add(id);
  const found = yield* findHolds(needs);
  if (needs.refundIds.size > 0) yield* findRefunds(needs);
  const wallets = yield* loadRows(WALLETS_LOCKED, needs.walletIds);
  const budgets = needs.budgetIds.size === 0 ? NONE : yield* loadRows(BUDGETS_LOCKED, needs.budgetIds);
  for (const budget of budgets.values()) needs.windowIds.add(windowIdOf(budget.id, windowAt(budget.period, nowMs).startMs));
  const windows = needs.windowIds.size === 0 ? NONE : yield* loadRows(WINDOWS_BY_ID, needs.windowIds);
  const settledMoves = needs.corrected.size === 0 ? NONE : yield* loadSettledMoves(needs.corrected);
  for (const moves of settledMoves.values()) for (const move of moves) needs.lotIds.add(move.lotId);
  const lots = yield* loadRows(LOTS_OF_WALLETS, wallets.keys());
  if (needs.lotIds.size > 0) for (const [id, lot] of yield* loadRows(LOTS_BY_ID, needs.lotIds)) lots.set(id, lot);
  const expired = [...lots.values()].filter((lot) => lot.expiredAfterHold !== null || (lot.expiresAtMs ?? Infinity) <= nowMs);
  const swept = new Set(expired.map((lot) => lot.walletId));
  // What they may need is kept.
  if (swept.size > 0) for (const [id, hold] of yield* readHolds(OPEN_HOLDS_OF_WALLETS, swept)) found.set(id, hold);
  const holds = yield* lockHolds(needs.holdIds, found);
  // Somebody may have ended that hold, and freed its key, while this waited for the locks.
  const mayBeFree = [...keys.values()].some(({ holdId }) => holds.get(holdId)?.state !== "open");
  const idempotency = mayBeFree ? yield* loadIdempotency(needs.keys) : keys;
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
    transfers: needs.transferIds.size === 0 ? NONE : yield* loadRows(TRANSFERS_BY_ID, needs.transferIds),
    corrections: closedIds.length === 0 ? NONE : yield* loadRows(CORRECTIONS_OF_HOLDS, closedIds),
    refunds: needs.refundIds.size === 0 ? NONE : yield* loadRows(REFUNDS_BY_ID, needs.refundIds),
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
export function* loadNodes(operations: readonly Operation[], ownNode: string): Sql<LedgerState["nodes"]> {
  return yield* loadRows(NODES_LOCKED, nodeIdsOf(operations, ownNode));
}

export function nodeIdsOf(operations: readonly Operation[], ownNode: string): Set<string> {
  const ids = new Set<string>();
  for (const operation of operations) {
    if (operation.kind === "hold" || operation.kind === "extend" || operation.kind === "renew_lease") ids.add(ownNode);
    if (operation.kind === "recover") ids.add(operation.node);
  }
  return ids;
}

function* loadRows<T extends { readonly id: string }>({ shape, find }: RowsBy<T>, ids: Iterable<string>): Sql<Map<string, T>> {
  const rows = yield* readAmong(find, ids);
  return new Map(rows.map((row) => objectOf(shape, row)).map((object) => [object.id, object]));
}

function* loadIdempotency(keys: Needs["keys"]): Sql<Map<string, Idempotency>> {
  const found = new Map<string, Idempotency>();
  if (keys.size === 0) return found;
  const accountIds = [...new Set([...keys.values()].map((entry) => entry.accountId))];
  const texts = [...new Set([...keys.values()].map((entry) => entry.key))];
  const rows = yield* read(KEYS_OF_ACCOUNTS, [accountIds, texts]);
  for (const row of rows) {
    const entry = objectOf(IDEMPOTENCY, row);
    const id = idempotencyId(entry.accountId, entry.key);
    if (keys.has(id)) found.set(id, { ...entry, id, holdState: row["state"] as HoldState });
  }
  return found;
}

function* openHoldsOfNodes(nodes: ReadonlySet<string>): Sql<string[]> {
  const rows = yield* readAmong(OPEN_HOLDS_OF_NODES, nodes);
  return rows.map((row) => row["id"] as string);
}

/** Which wallets and windows the holds belong to: that never changes, so it is read before the locks that depend on it. */
function* findHolds(needs: Needs): Sql<Map<string, Hold>> {
  const found = yield* readHolds(HOLDS_BY_ID, needs.holdIds);
  for (const { walletId, windowIds } of found.values()) {
    if (walletId !== null) needs.walletIds.add(walletId);
    for (const windowId of windowIds) {
      needs.windowIds.add(windowId);
      needs.budgetIds.add(windowId.slice(0, windowId.lastIndexOf("@")));
    }
  }
  return found;
}

function* readHolds(find: Lookup, ids: Iterable<string>): Sql<Map<string, Hold>> {
  const windowIds = new Map<string, string[]>();
  const holds = new Map<string, Hold>();
  for (const row of yield* readAmong(find, ids)) {
    const id = row["id"] as string;
    const ofHold = windowIds.get(id) ?? [];
    if (row["window_id"] !== null) ofHold.push(row["window_id"] as string);
    windowIds.set(id, ofHold);
    holds.set(id, { ...objectOf(HOLDS, row), windowIds: ofHold });
  }
  for (const ofHold of windowIds.values()) ofHold.sort();
  return holds;
}

/** The holds as they are under lock, where locks are needed. */
function* lockHolds(ids: Iterable<string>, found: ReadonlyMap<string, Hold>): Sql<ReadonlyMap<string, Hold>> {
  const locked = yield* readAmong(LOCK_HOLDS, new Set([...ids, ...found.keys()]));
  if (locked.length === 0) return found;
  const holds = locked.map((row) => objectOf(HOLDS, row));
  return new Map(holds.map((hold) => [hold.id, { ...hold, windowIds: found.get(hold.id)?.windowIds ?? [] }]));
}

function* findRefunds(needs: Needs): Sql<void> {
  for (const row of yield* readAmong(WALLETS_OF_REFUNDS, needs.refundIds)) {
    needs.walletIds.add(row["wallet_id"] as string);
    needs.lotIds.add(row["lot_id"] as string);
  }
}

function* loadSettledMoves(holdIds: ReadonlySet<string>): Sql<Map<string, LotMove[]>> {
  const transferIds = [...holdIds].flatMap((id) => [`settle:${id}`, `settle:${id}:promo`]);
  const rows = yield* readAmong(MOVES_OF_TRANSFERS, transferIds);
  const moves = new Map<string, LotMove[]>();
  for (const row of rows) {
    const move = objectOf(LOT_MOVES, row);
    const holdId = move.transferId.slice("settle:".length).replace(/:promo$/, "");
    moves.set(holdId, [...(moves.get(holdId) ?? []), move]);
  }
  return moves;
}
