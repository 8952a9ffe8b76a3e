/** What people ask of the ledger: a receipt, a statement, and who has credit that expired. Nothing here takes a lock. */
import type { LedgerReceipt } from "../../ledger/state.ts";
import type { TransferCode } from "../../ledger/state.ts";
import { CORRECTIONS, HOLDS, LOT_MOVES, TRANSFERS } from "../tables/ledger-shapes.ts";
import { read, readAmong } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { objectOf } from "../sql/shape.ts";
import { lookup } from "../sql/statements.ts";

const HOLD_OF_ACCOUNT = `${HOLDS.select} WHERE id = ? AND account_id = ?`;
const CORRECTION_OF_HOLD = `${CORRECTIONS.select} WHERE hold_id = ?`;
const TRANSFERS_IN_ORDER = lookup(TRANSFERS.select, "id", { end: " ORDER BY wallet_seq" });
const MOVES_IN_ORDER = lookup(LOT_MOVES.select, "transfer_id", { end: " ORDER BY transfer_id, lot_id" });

/** Null when there is no such hold, or it is another account's. */
export function* readReceipt(holdId: string, accountId: string): Sql<LedgerReceipt | null> {
  const [row] = yield* read(HOLD_OF_ACCOUNT, [holdId, accountId]);
  if (row === undefined) return null;
  const [correction] = yield* read(CORRECTION_OF_HOLD, [holdId]);
  const ids = [`settle:${holdId}`, `settle:${holdId}:promo`, `correct:${holdId}`];
  const transfers = yield* readAmong(TRANSFERS_IN_ORDER, ids);
  const moves = yield* readAmong(MOVES_IN_ORDER, ids);
  return {
    hold: objectOf(HOLDS, row),
    correction: correction === undefined ? null : objectOf(CORRECTIONS, correction),
    transfers: transfers.map((transfer) => objectOf(TRANSFERS, transfer)),
    lotMoves: moves.map((move) => objectOf(LOT_MOVES, move)),
  };
}

/** From transfers only: what there was, what came and went by its cause, what there is. */
export interface LedgerStatement {
  readonly openingNanos: bigint;
  /** Gains are positive, usage and refunds negative. */
  readonly byCode: ReadonlyMap<TransferCode, bigint>;
  readonly closingNanos: bigint;
}

/** Of the transfers made at `fromMs` or later and before `toMs`. */
export function* readStatement(walletId: string, fromMs: number, toMs: number): Sql<LedgerStatement> {
  const gain = "CAST(SUM(CASE WHEN credit = wallet_id THEN amount ELSE -amount END) AS BIGINT)";
  const [before] = yield* read(`SELECT ${gain} AS total FROM transfers WHERE wallet_id = ? AND created_at < ?`, [walletId, fromMs]);
  const rows = yield* read(
    `SELECT code, ${gain} AS total FROM transfers WHERE wallet_id = ? AND created_at >= ? AND created_at < ? GROUP BY code ORDER BY code`,
    [walletId, fromMs, toMs],
  );
  const openingNanos = (before?.["total"] as bigint | null | undefined) ?? 0n;
  const byCode = new Map(rows.map((row) => [row["code"] as TransferCode, row["total"] as bigint]));
  return { openingNanos, byCode, closingNanos: [...byCode.values()].reduce((sum, nanos) => sum + nanos, openingNanos) };
}

/** Accounts with something left of a lot whose time is over: the ones to ask `expire_lots` for. */
export function* accountsWithExpired(nowMs: number, limit: number): Sql<string[]> {
  const rows = yield* read(
    `SELECT DISTINCT w.account_id FROM lots l JOIN wallets w ON w.id = l.wallet_id
      WHERE l.used_up = 0 AND l.expires_at <= ? ORDER BY w.account_id LIMIT ?`,
    [nowMs, limit],
  );
  return rows.map((row) => row["account_id"] as string);
}
