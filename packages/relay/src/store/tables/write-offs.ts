/** Charges that could not be taken whole, from the holds and corrections that say so. */
import { DAY_MS, HOUR_MS } from "@millrace/wire/duration";
import type { UsageQuestion, UsageSum, WriteOff } from "../../control/ports.ts";
import { read } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { shapeOf } from "../sql/shape.ts";

/** A correction has the last word on what its hold wrote off. */
const COLUMNS = `h.id, h.closed_at AS at, h.account_id, h.key_id, h.model, CASE WHEN c.hold_id IS NULL THEN h.basis ELSE 'exact' END AS basis,
    h.charged + COALESCE(c.delta, 0) AS charged, COALESCE(c.written_off, h.written_off) AS written_off`;

/** Each half goes by the index of its own table, and none is in both. CROSS JOIN: SQLite, which keeps no statistics, begins on its left. */
const TABLE = `(
  SELECT ${COLUMNS} FROM holds h LEFT JOIN corrections c ON c.hold_id = h.id
    WHERE h.written_off > 0 AND COALESCE(c.written_off, h.written_off) > 0
  UNION ALL
  SELECT ${COLUMNS} FROM corrections c CROSS JOIN holds h WHERE h.id = c.hold_id AND c.written_off > 0 AND h.written_off = 0) AS write_offs`;

export const WRITE_OFFS = shapeOf<WriteOff>(TABLE, {
  requestId: ["id", "text"],
  atMs: ["at", "count"],
  accountId: ["account_id", "text"],
  keyId: ["key_id", "text"],
  model: ["model", "text"],
  basis: ["basis", "text"],
  chargedNanos: ["charged", "nanos"],
  writtenOffNanos: ["written_off", "nanos"],
});

const SUM = "CAST(COALESCE(SUM(written_off), 0) AS BIGINT) AS total";

/** Of an account's holds that ended at `fromMs` or later and before `toMs`. */
export function* sumWriteOffs(accountId: string, fromMs: number, toMs: number): Sql<bigint> {
  const [row] = yield* read(`SELECT ${SUM} FROM ${TABLE} WHERE account_id = ? AND at >= ? AND at < ?`, [accountId, fromMs, toMs]);
  return row?.["total"] as bigint;
}

/** Lengths of the periods that usage is summed up by. */
export const PERIOD_MS = { hour: HOUR_MS, day: DAY_MS } as const;

/** By hour or day of the request, as its row has it, and by the same group as the sums of a page that stand from `firstMs` to `lastMs`. */
export function* writeOffsOfSums(
  { period, accountId }: Pick<UsageQuestion, "period" | "accountId">,
  column: string,
  firstMs: number,
  lastMs: number,
): Sql<(sum: Pick<UsageSum, "atMs" | "group">) => bigint> {
  const step = PERIOD_MS[period];
  const starts = `r.at - r.at % ${step}`;
  const group = `COALESCE(r.${column}, '')`;
  const rows = yield* read(
    `SELECT ${starts} AS starts_at, ${group} AS name, ${SUM} FROM ${TABLE} CROSS JOIN requests r
      WHERE r.id = write_offs.id AND write_offs.at >= ? AND r.at >= ? AND r.at < ?${accountId === undefined ? "" : " AND r.account_id = ?"} GROUP BY ${starts}, ${group}`,
    // No request ends before it came: the first condition is what the index is entered by.
    [firstMs, firstMs, lastMs + step, ...(accountId === undefined ? [] : [accountId])],
  );
  const keyOf = (atMs: number, name: string): string => `${atMs} ${name}`;
  const totals = new Map(rows.map((row) => [keyOf(Number(row["starts_at"]), String(row["name"])), row["total"] as bigint]));
  return ({ atMs, group: name }) => totals.get(keyOf(atMs, name)) ?? 0n;
}
