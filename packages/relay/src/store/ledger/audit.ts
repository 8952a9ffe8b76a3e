/** What must be true of the stored ledger, as queries that find where it is not. Every sum is taken from the rows anew. */
import type { Sql } from "../sql/sql.ts";
import { read } from "../sql/sql.ts";

interface Claim {
  readonly claim: string;
  /** Selects the ids of what breaks it. */
  readonly sql: string;
}

const IN_WALLET = "CASE WHEN t.credit = t.wallet_id THEN t.amount ELSE -t.amount END";

/** A sum of no rows is 0; PostgreSQL adds BIGINTs up to NUMERIC. */
function sum(of: string, from: string): string {
  return `COALESCE((SELECT CAST(SUM(${of}) AS BIGINT) FROM ${from}), 0)`;
}

const CLAIMS: readonly Claim[] = [
  {
    claim: "a wallet's balance is the sum of its transfers",
    sql: `SELECT w.id FROM wallets w WHERE w.balance <> ${sum(IN_WALLET, "transfers t WHERE t.wallet_id = w.id")}`,
  },
  {
    claim: "a wallet's transfers are numbered without gaps",
    sql: "SELECT w.id FROM wallets w WHERE w.seq <> (SELECT count(*) FROM transfers t WHERE t.wallet_id = w.id) OR w.seq <> COALESCE((SELECT max(t.wallet_seq) FROM transfers t WHERE t.wallet_id = w.id), 0)",
  },
  {
    claim: "replaying a wallet's transfers gives the balance noted at each",
    sql: `SELECT id FROM (SELECT t.id, t.balance_after, SUM(${IN_WALLET}) OVER (PARTITION BY t.wallet_id ORDER BY t.wallet_seq) AS running
      FROM transfers t WHERE t.wallet_id IS NOT NULL) replay WHERE running <> balance_after`,
  },
  {
    claim: "a transfer names every wallet it touches",
    sql: "SELECT t.id FROM transfers t WHERE (t.debit LIKE 'wallet:%' AND t.debit <> COALESCE(t.wallet_id, '')) OR (t.credit LIKE 'wallet:%' AND t.credit <> COALESCE(t.wallet_id, ''))",
  },
  {
    claim: "what is held is the sum of the open holds",
    sql: `SELECT w.id FROM wallets w WHERE w.held <> ${sum("h.amount", "holds h WHERE h.wallet_id = w.id AND h.state = 'open'")}`,
  },
  {
    claim: "what is left of a lot is its amount and its moves",
    sql: `SELECT l.id FROM lots l WHERE l.remaining <> l.amount + ${sum("m.delta", "lot_moves m WHERE m.lot_id = l.id")}`,
  },
  {
    claim: "the balance is never more than what is left in the lots",
    sql: `SELECT w.id FROM wallets w WHERE w.balance > ${sum("l.remaining", "lots l WHERE l.wallet_id = w.id")}`,
  },
  {
    claim: "a hold's transfers add up to what it charged",
    sql: `SELECT h.id FROM holds h WHERE h.wallet_id IS NOT NULL AND COALESCE(h.charged, 0) <>
      ${sum("t.amount", "transfers t WHERE t.id IN ('settle:' || h.id, 'settle:' || h.id || ':promo')")}`,
  },
  {
    claim: "usage is charged for holds that exist, from their own wallet",
    sql: "SELECT t.id FROM transfers t LEFT JOIN holds h ON h.id = t.hold_id WHERE t.code IN ('usage', 'usage_promo') AND (h.id IS NULL OR h.wallet_id IS DISTINCT FROM t.wallet_id)",
  },
  {
    claim: "a correction moved its difference",
    sql: `SELECT c.hold_id AS id FROM corrections c JOIN holds h ON h.id = c.hold_id WHERE h.wallet_id IS NOT NULL AND c.delta <>
      ${sum("CASE WHEN t.debit = t.wallet_id THEN t.amount ELSE -t.amount END", "transfers t WHERE t.id = 'correct:' || c.hold_id")}`,
  },
  {
    claim: "what is charged and written off after a correction is its cost",
    sql: "SELECT h.id FROM holds h JOIN corrections c ON c.hold_id = h.id WHERE h.charged + c.delta + c.written_off <> c.cost",
  },
  {
    claim: "a budget window holds the sum of its open holds",
    sql: `SELECT b.id FROM budget_windows b WHERE b.held <>
      ${sum("h.amount", "hold_budgets x JOIN holds h ON h.id = x.hold_id WHERE x.window_id = b.id AND h.state = 'open'")}`,
  },
  {
    claim: "a budget window spent what its holds were charged",
    sql: `SELECT b.id FROM budget_windows b WHERE b.spent <>
      ${sum("COALESCE(h.charged, 0) + COALESCE(c.delta, 0)", "hold_budgets x JOIN holds h ON h.id = x.hold_id LEFT JOIN corrections c ON c.hold_id = h.id WHERE x.window_id = b.id")}`,
  },
  {
    claim: "money that waits to be paid back is the sum of the open refunds",
    sql: `SELECT 'refund_clearing' AS id FROM (SELECT
      ${sum("CASE WHEN t.credit = 'refund_clearing' THEN t.amount ELSE -t.amount END", "transfers t WHERE t.credit = 'refund_clearing' OR t.debit = 'refund_clearing'")} AS cleared,
      ${sum("r.amount", "refunds r WHERE r.state = 'reserved'")} AS reserved) sums WHERE cleared <> reserved`,
  },
  {
    claim: "no more is paid back than was paid",
    sql: `SELECT l.id FROM lots l WHERE l.amount < ${sum("r.amount", "refunds r WHERE r.lot_id = l.id AND r.state <> 'failed'")}`,
  },
];

export interface Breach {
  readonly claim: string;
  readonly ids: readonly string[];
}

/** All claims that do not hold, with up to ten examples each. Empty: the books agree. */
export function* auditLedger(): Sql<Breach[]> {
  const breaches: Breach[] = [];
  for (const { claim, sql } of CLAIMS) {
    const rows = yield* read(`${sql} LIMIT 10`, []);
    if (rows.length > 0) breaches.push({ claim, ids: rows.map((row) => String(row["id"])) });
  }
  return breaches;
}
