/** Writes what a batch changed. Every update says what it found; a row that is not as it was undoes the batch. */
import type { Budget, BudgetWindow, Changes, LedgerNode, Lot, Refund, TableChanges, Wallet } from "../../ledger/state.ts";
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
import type { HoldRow, IdempotencyRow } from "../tables/ledger-shapes.ts";
import { deleteRows, insertRows, updateRows } from "../sql/sql.ts";
import type { Column, Dialect, Sql } from "../sql/sql.ts";
import { columnsOf, valuesOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";

/** A way to change rows: what is set, and what must still be as it was read. */
interface Update<T> {
  readonly shape: Shape<T>;
  readonly set: readonly (keyof T & string)[];
  readonly match: readonly (keyof T & string)[];
  readonly guard?: string;
}

const SET_NODE: Update<LedgerNode> = { shape: NODES, set: ["epoch", "leaseUntilMs"], match: ["id", "epoch"] };
const SET_BUDGET: Update<Budget> = { shape: BUDGETS, set: ["period", "capNanos"], match: ["id"] };
const SET_WINDOW: Update<BudgetWindow> = { shape: WINDOWS, set: ["spentNanos", "heldNanos"], match: ["id", "spentNanos", "heldNanos"] };
const SET_LOT: Update<Lot> = { shape: LOTS, set: ["remainingNanos", "expiredAfterHold"], match: ["id", "remainingNanos"] };
/** Writes the trees that lots are found in, too, which the other leaves alone. */
const SET_LOT_USED_UP: Update<Lot> = { ...SET_LOT, set: ["remainingNanos", "isUsedUp", "expiredAfterHold"] };
const SET_REFUND: Update<Refund> = { shape: REFUNDS, set: ["state", "closedAtMs"], match: ["id"], guard: " AND state = 'reserved'" };
const SET_WALLET: Update<Wallet> = {
  shape: WALLETS,
  set: ["balanceNanos", "heldNanos", "floorNanos", "status", "seq", "holdCount"],
  match: ["id", "seq", "heldNanos"],
};
const SET_HOLD: Update<HoldRow> = {
  shape: HOLDS,
  set: [
    "amountNanos",
    "state",
    "checkpointSeq",
    "checkpointNanos",
    "inputTokens",
    "outputTokens",
    "chargedNanos",
    "basis",
    "endReason",
    "closedAtMs",
    "writtenOffNanos",
  ],
  match: ["id"],
  guard: " AND holds.state = 'open'",
};

const LEDGER_ACCOUNT: readonly Column[] = ["id", "kind", "currency"].map((name) => ({ name, type: "text" }));
const HOLD_BUDGET: readonly Column[] = ["hold_id", "window_id"].map((name) => ({ name, type: "text" }));
const FREED_KEY: readonly (keyof IdempotencyRow)[] = ["accountId", "key", "holdId"];

/** Most of a batch's tables are untouched, and a part that is asked for nothing costs as much as a small statement. */
export function* writeChanges(dialect: Dialect, changes: Changes): Sql<void> {
  const { nodes, wallets, budgets, windows, holds, lots, transfers, lotMoves, corrections, refunds } = changes;
  if (isTouched(nodes)) yield* write(dialect, SET_NODE, nodes);
  if (isTouched(wallets)) yield* writeWallets(dialect, wallets);
  if (isTouched(budgets)) yield* write(dialect, SET_BUDGET, budgets);
  if (isTouched(windows)) yield* write(dialect, SET_WINDOW, windows);
  if (isTouched(holds)) yield* writeHolds(dialect, holds);
  if (changes.idempotencyFreed.length + changes.idempotencyAdded.length > 0) yield* writeIdempotency(dialect, changes);
  if (isTouched(lots)) yield* writeLots(dialect, lots);
  if (transfers.length > 0) yield* add(dialect, TRANSFERS, transfers);
  if (lotMoves.length > 0) yield* add(dialect, LOT_MOVES, lotMoves);
  if (corrections.length > 0) yield* add(dialect, CORRECTIONS, corrections);
  if (isTouched(refunds)) yield* write(dialect, SET_REFUND, refunds);
}

function isTouched(table: TableChanges<unknown>): boolean {
  return table.changed.length + table.added.length > 0;
}

function* write<T>(dialect: Dialect, how: Update<T>, changes: TableChanges<T>): Sql<void> {
  yield* update(dialect, how, changes);
  yield* add(dialect, how.shape, changes.added);
}

function* add<T>(dialect: Dialect, shape: Shape<T>, rows: readonly Readonly<T>[]): Sql<void> {
  if (rows.length === 0) return;
  yield* insertRows(
    dialect,
    shape.table,
    columnsOf(shape),
    rows.map((row) => valuesOf(shape, row)),
  );
}

function* update<T>(dialect: Dialect, { shape, set, match, guard = "" }: Update<T>, { changed }: TableChanges<T>): Sql<void> {
  if (changed.length === 0) return;
  const rows = changed.map(({ before, after }) => [...valuesOf(shape, after, set), ...valuesOf(shape, before, match)]);
  yield* updateRows(dialect, shape.table, columnsOf(shape, set), columnsOf(shape, match), rows, guard);
}

function* writeWallets(dialect: Dialect, wallets: Changes["wallets"]): Sql<void> {
  yield* update(dialect, SET_WALLET, wallets);
  if (wallets.added.length === 0) return;
  const accounts = wallets.added.map((wallet) => [wallet.id, "wallet", "USD"]);
  yield* insertRows(dialect, "ledger_accounts", LEDGER_ACCOUNT, accounts);
  yield* add(dialect, WALLETS, wallets.added);
}

function* writeLots(dialect: Dialect, { added, changed }: Changes["lots"]): Sql<void> {
  const isTurned = ({ before, after }: { before: Readonly<Lot>; after: Readonly<Lot> }): boolean => before.isUsedUp !== after.isUsedUp;
  yield* update(dialect, SET_LOT, { added: [], changed: changed.filter((change) => !isTurned(change)) });
  yield* update(dialect, SET_LOT_USED_UP, { added: [], changed: changed.filter(isTurned) });
  yield* add(dialect, LOTS, added);
}

function* writeHolds(dialect: Dialect, holds: Changes["holds"]): Sql<void> {
  yield* update(dialect, SET_HOLD, holds);
  if (holds.added.length === 0) return;
  yield* add(dialect, HOLDS, holds.added);
  const windows = holds.added.flatMap((hold) => hold.windowIds.map((windowId) => [hold.id, windowId]));
  yield* insertRows(dialect, "hold_budgets", HOLD_BUDGET, windows);
}

function* writeIdempotency(dialect: Dialect, changes: Changes): Sql<void> {
  const freed = changes.idempotencyFreed.map(({ accountId, key, holdId }) => [accountId, key, holdId]);
  yield* deleteRows(dialect, IDEMPOTENCY.table, columnsOf(IDEMPOTENCY, FREED_KEY), freed);
  yield* add(dialect, IDEMPOTENCY, changes.idempotencyAdded);
}
