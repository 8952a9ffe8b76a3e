/** Writes what a batch changed. Every update says what it found; a row that is not as it was undoes the batch. */
import type { Changes, TableChanges } from "../ledger/state.ts";
import { BUDGETS, CORRECTIONS, HOLDS, IDEMPOTENCY, LOT_MOVES, LOTS, NODES, REFUNDS, TRANSFERS, WALLETS, WINDOWS } from "./ledger-shapes.ts";
import { deleteRows, insertRows, updateRows } from "./sql.ts";
import type { Dialect, Sql } from "./sql.ts";
import { columnsOf, valuesOf } from "./sql-shape.ts";
import type { Shape } from "./sql-shape.ts";

export function* writeChanges(dialect: Dialect, changes: Changes): Sql<void> {
  yield* update(dialect, NODES, changes.nodes, ["epoch", "leaseUntilMs"], ["id", "epoch"]);
  yield* add(dialect, NODES, changes.nodes.added);
  yield* writeWallets(dialect, changes.wallets);
  yield* update(dialect, BUDGETS, changes.budgets, ["period", "capNanos"], ["id"]);
  yield* add(dialect, BUDGETS, changes.budgets.added);
  yield* update(dialect, WINDOWS, changes.windows, ["spentNanos", "heldNanos"], ["id", "spentNanos", "heldNanos"]);
  yield* add(dialect, WINDOWS, changes.windows.added);
  yield* writeHolds(dialect, changes.holds);
  yield* writeIdempotency(dialect, changes);
  yield* update(dialect, LOTS, changes.lots, ["remainingNanos", "expiredAfterHold"], ["id", "remainingNanos"]);
  yield* add(dialect, LOTS, changes.lots.added);
  yield* add(dialect, TRANSFERS, changes.transfers);
  yield* add(dialect, LOT_MOVES, changes.lotMoves);
  yield* add(dialect, CORRECTIONS, changes.corrections);
  yield* update(dialect, REFUNDS, changes.refunds, ["state", "closedAtMs"], ["id"], " AND state = 'reserved'");
  yield* add(dialect, REFUNDS, changes.refunds.added);
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

/** Sets `set` where the `match` properties are still as they were before. */
function* update<T>(
  dialect: Dialect,
  shape: Shape<T>,
  { changed }: TableChanges<T>,
  set: readonly (keyof T & string)[],
  match: readonly (keyof T & string)[],
  guard = "",
): Sql<void> {
  if (changed.length === 0) return;
  const rows = changed.map(({ before, after }) => [...valuesOf(shape, after, set), ...valuesOf(shape, before, match)]);
  yield* updateRows(dialect, shape.table, columnsOf(shape, set), columnsOf(shape, match), rows, guard);
}

function* writeWallets(dialect: Dialect, wallets: Changes["wallets"]): Sql<void> {
  yield* update(
    dialect,
    WALLETS,
    wallets,
    ["balanceNanos", "heldNanos", "floorNanos", "status", "seq", "holdCount"],
    ["id", "seq", "heldNanos"],
  );
  yield* insertRows(
    dialect,
    "ledger_accounts",
    [
      { name: "id", type: "text" },
      { name: "kind", type: "text" },
      { name: "currency", type: "text" },
    ],
    wallets.added.map((wallet) => [wallet.id, "wallet", "USD"]),
  );
  yield* add(dialect, WALLETS, wallets.added);
}

function* writeHolds(dialect: Dialect, holds: Changes["holds"]): Sql<void> {
  yield* update(
    dialect,
    HOLDS,
    holds,
    [
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
    ["id"],
    " AND holds.state = 'open'",
  );
  yield* add(dialect, HOLDS, holds.added);
  yield* insertRows(
    dialect,
    "hold_budgets",
    [
      { name: "hold_id", type: "text" },
      { name: "window_id", type: "text" },
    ],
    holds.added.flatMap((hold) => hold.windowIds.map((windowId) => [hold.id, windowId])),
  );
}

function* writeIdempotency(dialect: Dialect, changes: Changes): Sql<void> {
  const keys = ["accountId", "key", "holdId"] as const;
  yield* deleteRows(
    dialect,
    IDEMPOTENCY.table,
    columnsOf(IDEMPOTENCY, keys),
    changes.idempotencyFreed.map((freed) => [freed.accountId, freed.key, freed.holdId]),
  );
  yield* add(dialect, IDEMPOTENCY, changes.idempotencyAdded);
}
