/**
 * Rows that somebody else keeps locked, on PostgreSQL: what touches them is refused, and the rest of the batch goes on. They are
 * remembered until they are free, so that only the batch that finds them waits.
 */
import type { FencingToken, UnitOutcome } from "../../ledger/unit.ts";
import { commitUnits, RowsLocked } from "../ledger/commit.ts";
import type { CommitSettings, CommitUnit } from "../ledger/commit.ts";
import { needsOf, nodeIdsOf } from "../ledger/load.ts";
import { read, readAmong } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { lookup } from "../sql/statements.ts";
import { transaction } from "../transaction.ts";

/** How often a batch waits for locks (one `lock_timeout` each). */
const ROUNDS_MAX = 2;
/** A peer has its locks for the moment of a transaction: only what is locked at two looks is kept by somebody. */
const BETWEEN_LOOKS_S = 0.05;

type Table = "wallets" | "budgets" | "holds" | "nodes";

const OPEN_HOLDS_OF_NODES = lookup("SELECT id, node FROM holds", "node", { end: " AND state = 'open'" });
const ROWS_OF_HOLDS = lookup("SELECT h.id, h.wallet_id, b.window_id FROM holds h LEFT JOIN hold_budgets b ON b.hold_id = h.id", "h.id");
const WALLETS_OF_REFUNDS = lookup("SELECT id, wallet_id FROM refunds", "id");
const LOCKABLE = (["nodes", "wallets", "budgets", "holds"] as const).map((table: Table) => ({
  table,
  ids: lookup(`SELECT id FROM ${table}`, "id"),
  freeIds: lookup(`SELECT id FROM ${table}`, "id", { end: " ORDER BY id FOR UPDATE SKIP LOCKED", only: "postgres" }),
}));

/** Rows as `table id`. */
export type Rows = Set<string>;

/**
 * As {@link commitUnits}, around what is locked.
 * @param locked what earlier batches found; it is brought up to date.
 */
export function* commitAround(
  settings: CommitSettings,
  token: FencingToken,
  units: readonly CommitUnit[],
  locked: Rows,
): Sql<UnitOutcome[]> {
  let touched: Rows[] | null = null;
  /** Why writes alone are left out: a lock that is none of the ledger's is in their way. */
  let leftOut: string | null = null;
  if (locked.size > 0) replace(locked, yield* lockedAmong([...locked]));
  for (let round = 1; ; round++) {
    if (locked.size > 0) touched ??= yield* touchedBy(units, token.node);
    const inTheWay = units.map(({ operations }, at) => {
      const row = touched === null ? undefined : [...locked].find((each) => touched?.[at]?.has(each));
      return row ?? (operations.length === 0 ? (leftOut ?? undefined) : undefined);
    });
    const free = units.flatMap((_, at) => (inTheWay[at] === undefined ? [at] : []));
    try {
      const outcomes = yield* commitUnits(settings, token, pick(units, free));
      return inTheWay.map((row) => (row === undefined ? (outcomes.shift() as UnitOutcome) : refused(row)));
    } catch (error) {
      if (!(error instanceof RowsLocked)) throw error;
      touched ??= yield* touchedBy(units, token.node);
      const rows = new Set(free.flatMap((at) => [...(touched?.[at] ?? [])]));
      const found = yield* lockedTwice([...rows]);
      for (const row of found) locked.add(row);
      if (found.length === 0) leftOut = error.message;
      if (round === ROUNDS_MAX) return inTheWay.map((row) => refused(row ?? error.message));
    }
  }
}

function pick<T>(all: readonly T[], which: readonly number[]): T[] {
  return which.flatMap((at) => all.slice(at, at + 1));
}

function replace(rows: Rows, by: readonly string[]): void {
  rows.clear();
  for (const row of by) rows.add(row);
}

function refused(row: string): UnitOutcome {
  return { ok: false, code: "store_unavailable", reason: `somebody else keeps a lock: ${row}` };
}

/** The rows of the ledger that each unit would lock. */
function* touchedBy(units: readonly CommitUnit[], ownNode: string): Sql<Rows[]> {
  const needs = units.map(({ operations }) => needsOf(operations));
  const byNode = new Map<string, string[]>();
  const recovered = needs.flatMap((each) => [...each.recovered]);
  for (const row of yield* readAmong(OPEN_HOLDS_OF_NODES, recovered))
    byNode.set(row["node"] as string, [...(byNode.get(row["node"] as string) ?? []), row["id"] as string]);
  for (const each of needs) for (const node of each.recovered) for (const id of byNode.get(node) ?? []) each.holdIds.add(id);
  const ofHold = yield* rowsOfHolds(needs.flatMap((each) => [...each.holdIds]));
  const ofRefund = yield* rowsOfRefunds(needs.flatMap((each) => [...each.refundIds]));
  return needs.map((each, at) => {
    const nodes = nodeIdsOf(units[at]?.operations ?? [], ownNode);
    const own = [...named("wallets", each.walletIds), ...named("budgets", each.budgetIds), ...named("nodes", nodes)];
    const held = [...each.holdIds].flatMap((id) => ofHold.get(id) ?? []);
    return new Set([...own, ...held, ...[...each.refundIds].flatMap((id) => ofRefund.get(id) ?? [])]);
  });
}

function named(table: Table, ids: Iterable<string>): string[] {
  return [...ids].map((id) => `${table} ${id}`);
}

function* rowsOfHolds(ids: readonly string[]): Sql<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const row of yield* readAmong(ROWS_OF_HOLDS, ids)) {
    const id = row["id"] as string;
    const [walletId, windowId] = [row["wallet_id"] as string | null, row["window_id"] as string | null];
    const rows = found.get(id) ?? named("holds", [id]);
    if (walletId !== null) rows.push(...named("wallets", [walletId]));
    if (windowId !== null) rows.push(...named("budgets", [windowId.slice(0, windowId.lastIndexOf("@"))]));
    found.set(id, rows);
  }
  return found;
}

function* rowsOfRefunds(ids: readonly string[]): Sql<Map<string, string[]>> {
  const rows = yield* readAmong(WALLETS_OF_REFUNDS, ids);
  return new Map(rows.map((row) => [row["id"] as string, named("wallets", [row["wallet_id"] as string])]));
}

function* lockedTwice(rows: readonly string[]): Sql<readonly string[]> {
  const once = yield* lockedAmong(rows);
  if (once.length === 0) return once;
  yield* read("SELECT pg_sleep(?::float8)::text", [BETWEEN_LOOKS_S]);
  return yield* lockedAmong(once);
}

/** Those of the rows that somebody else has locked right now. Waits for nothing. */
function* lockedAmong(rows: readonly string[]): Sql<readonly string[]> {
  const outcome = yield* transaction(() => skipped(rows));
  // Where even this fails nothing is known: then nobody is refused for it.
  return outcome.ok ? outcome.value : [];
}

function* skipped(rows: readonly string[]): Sql<string[]> {
  const locked: string[] = [];
  for (const { table, ids: all, freeIds } of LOCKABLE) {
    const ids = rows.filter((row) => row.startsWith(`${table} `)).map((row) => row.slice(table.length + 1));
    const free = yield* readAmong(freeIds, ids);
    const known = yield* readAmong(all, ids);
    const gone = new Set(free.map((row) => row["id"] as string));
    locked.push(
      ...named(
        table,
        known.map((row) => row["id"] as string).filter((id) => !gone.has(id)),
      ),
    );
  }
  return locked;
}
