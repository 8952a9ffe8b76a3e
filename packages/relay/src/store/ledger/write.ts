/** Writes what a batch changed. Every update says what it found; a row that is not as it was undoes the batch. */
import type { Changes, Lot, TableChanges } from "../../ledger/state.ts";
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
import type { Column } from "../sql/dialect.ts";
import { writeRows } from "../sql/sql.ts";
import type { RowsStatement, Sql } from "../sql/sql.ts";
import { columnsOf, valuesOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";
import { deleteFrom, insertInto, updateOf } from "../sql/statements.ts";

/** A way to add rows. */
interface Adding<T> {
  readonly shape: Shape<T>;
  readonly insert: RowsStatement;
}

interface Setting<T> {
  readonly set: readonly (keyof T & string)[];
  readonly match: readonly (keyof T & string)[];
  readonly guard?: string;
}

/** A way to change rows, too: what is set, and what must still be as it was read. */
interface Changing<T> extends Adding<T>, Setting<T> {
  readonly update: RowsStatement;
}

function adding<T>(shape: Shape<T>): Adding<T> {
  return { shape, insert: insertInto(shape) };
}

function changing<T>(shape: Shape<T>, { set, match, ...guard }: Setting<T>): Changing<T> {
  const update = updateOf(shape.table, { set: columnsOf(shape, set), match: columnsOf(shape, match), ...guard });
  return { ...adding(shape), set, match, update };
}

const NODE = changing(NODES, { set: ["epoch", "leaseUntilMs"], match: ["id", "epoch"] });
const BUDGET = changing(BUDGETS, { set: ["period", "capNanos"], match: ["id"] });
const WINDOW = changing(WINDOWS, { set: ["spentNanos", "heldNanos"], match: ["id", "spentNanos", "heldNanos"] });
const LOT = changing(LOTS, { set: ["remainingNanos", "expiredAfterHold"], match: ["id", "remainingNanos"] });
/** Writes the trees that lots are found in, too, which the other leaves alone. */
const LOT_USED_UP = changing(LOTS, { set: ["remainingNanos", "isUsedUp", "expiredAfterHold"], match: ["id", "remainingNanos"] });
const REFUND = changing(REFUNDS, { set: ["state", "closedAtMs"], match: ["id"], guard: "refunds.state = 'reserved'" });
const WALLET = changing(WALLETS, {
  set: ["balanceNanos", "heldNanos", "floorNanos", "status", "seq", "holdCount"],
  match: ["id", "seq", "heldNanos"],
});
const HOLD = changing(HOLDS, {
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
  guard: "holds.state = 'open'",
});
const TRANSFER = adding(TRANSFERS);
const LOT_MOVE = adding(LOT_MOVES);
const CORRECTION = adding(CORRECTIONS);
const KEY = adding(IDEMPOTENCY);

const texts = (...names: readonly string[]): readonly Column[] => names.map((name) => ({ name, type: "text" }));
const INSERT_LEDGER_ACCOUNTS = insertInto({ table: "ledger_accounts", columns: texts("id", "kind", "currency") });
const INSERT_HOLD_BUDGETS = insertInto({ table: "hold_budgets", columns: texts("hold_id", "window_id") });
const FREE_KEYS = deleteFrom({ table: IDEMPOTENCY.table, columns: columnsOf(IDEMPOTENCY, ["accountId", "key", "holdId"]) });

/** Most of a batch's tables are untouched, and a part that is asked for nothing costs as much as a small statement. */
export function* writeChanges(changes: Changes): Sql<void> {
  const { nodes, wallets, budgets, windows, holds, lots, transfers, lotMoves, corrections, refunds } = changes;
  if (isTouched(nodes)) yield* write(NODE, nodes);
  if (isTouched(wallets)) yield* writeWallets(wallets);
  if (isTouched(budgets)) yield* write(BUDGET, budgets);
  if (isTouched(windows)) yield* write(WINDOW, windows);
  if (isTouched(holds)) yield* writeHolds(holds);
  if (changes.idempotencyFreed.length + changes.idempotencyAdded.length > 0) yield* writeIdempotency(changes);
  if (isTouched(lots)) yield* writeLots(lots);
  if (transfers.length > 0) yield* add(TRANSFER, transfers);
  if (lotMoves.length > 0) yield* add(LOT_MOVE, lotMoves);
  if (corrections.length > 0) yield* add(CORRECTION, corrections);
  if (isTouched(refunds)) yield* write(REFUND, refunds);
}

function isTouched(table: TableChanges<unknown>): boolean {
  return table.changed.length + table.added.length > 0;
}

function* write<T>(how: Changing<T>, changes: TableChanges<T>): Sql<void> {
  yield* update(how, changes.changed);
  yield* add(how, changes.added);
}

function* add<T>({ shape, insert }: Adding<T>, rows: readonly Readonly<T>[]): Sql<void> {
  if (rows.length === 0) return;
  yield* writeRows(
    insert,
    rows.map((row) => valuesOf(shape, row)),
  );
}

function* update<T>({ shape, set, match, update: statement }: Changing<T>, changed: TableChanges<T>["changed"]): Sql<void> {
  if (changed.length === 0) return;
  yield* writeRows(
    statement,
    changed.map(({ before, after }) => [...valuesOf(shape, after, set), ...valuesOf(shape, before, match)]),
  );
}

function* writeWallets({ added, changed }: Changes["wallets"]): Sql<void> {
  yield* update(WALLET, changed);
  if (added.length === 0) return;
  yield* writeRows(
    INSERT_LEDGER_ACCOUNTS,
    added.map((wallet) => [wallet.id, "wallet", "USD"]),
  );
  yield* add(WALLET, added);
}

function* writeLots({ added, changed }: Changes["lots"]): Sql<void> {
  const isTurned = ({ before, after }: { before: Readonly<Lot>; after: Readonly<Lot> }): boolean => before.isUsedUp !== after.isUsedUp;
  yield* update(
    LOT,
    changed.filter((change) => !isTurned(change)),
  );
  yield* update(LOT_USED_UP, changed.filter(isTurned));
  yield* add(LOT, added);
}

function* writeHolds({ added, changed }: Changes["holds"]): Sql<void> {
  yield* update<HoldRow>(HOLD, changed);
  if (added.length === 0) return;
  yield* add<HoldRow>(HOLD, added);
  const windows = added.flatMap((hold) => hold.windowIds.map((windowId) => [hold.id, windowId]));
  yield* writeRows(INSERT_HOLD_BUDGETS, windows);
}

function* writeIdempotency({ idempotencyFreed, idempotencyAdded }: Changes): Sql<void> {
  const freed = idempotencyFreed.map(({ accountId, key, holdId }) => [accountId, key, holdId]);
  yield* writeRows(FREE_KEYS, freed);
  yield* add<IdempotencyRow>(KEY, idempotencyAdded);
}
