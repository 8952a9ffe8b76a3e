/** What a dashboard asks of ninety days, as statements: the sums by each of their names, and pages of requests. */
import type { SqlValue } from "../packages/relay/src/store/sql.ts";
import { DAY_MS, DAYS } from "./rows-fill.ts";

export interface Question {
  readonly name: string;
  /** What it must stay below, in milliseconds. */
  readonly mustMs: number;
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

const MUST_MS = 500;
const SUMS = ["requests", "errors", "input_tokens", "cached_input_tokens", "output_tokens", "charge_nanos", "cost_nanos"]
  .map((name) => `CAST(SUM(${name}) AS BIGINT) AS ${name}`)
  .join(", ");
/** An account that makes many requests, and one that makes few. */
const BUSY = "acct_0";
const QUIET = "acct_400";

export function questionsAt(nowMs: number): Question[] {
  const from = nowMs - DAYS * DAY_MS;
  const today = nowMs - DAY_MS;
  return [
    sums("a line for each day", "starts_at", "period = 'day' AND starts_at >= ?", [from]),
    sums("by model and day", "starts_at, model", "period = 'day' AND starts_at >= ?", [from]),
    sums("by account and day", "starts_at, account_id", "period = 'day' AND starts_at >= ?", [from]),
    sums("by upstream and day", "starts_at, upstream", "period = 'day' AND starts_at >= ?", [from]),
    sums("by account, whole", "account_id", "period = 'day' AND starts_at >= ?", [from]),
    sums("by key, whole", "key_id", "period = 'day' AND starts_at >= ?", [from]),
    sums("one account by day", "starts_at, model", "period = 'day' AND starts_at >= ? AND account_id = ?", [from, BUSY]),
    sums("the last day by hour", "starts_at, model", "period = 'hour' AND starts_at >= ?", [today]),
    requests("newest requests", "at >= ?", [from]),
    requests("a page from the middle", "(at, id) < (?, ?)", [nowMs - 45 * DAY_MS, "req_m"]),
    requests("a busy account's requests", "account_id = ?", [BUSY]),
    requests("a quiet account's requests", "account_id = ?", [QUIET]),
    requests("newest of one key", "key_id = ?", ["key_801"]),
    requests("newest that failed", "status = ?", [502]),
    requests("an end reason that none has", "end_reason = ?", ["key_revoked"]),
    requests("newest of one model of one account", "account_id = ? AND model = ?", [QUIET, "model-0"]),
  ];
}

function sums(name: string, group: string, where: string, params: readonly SqlValue[]): Question {
  const sql = `SELECT ${group}, ${SUMS} FROM usage_sums WHERE ${where} GROUP BY ${group} ORDER BY ${group}`;
  return { name: `sums ${name}`, mustMs: MUST_MS, sql, params };
}

function requests(name: string, where: string, params: readonly SqlValue[]): Question {
  return { name, mustMs: MUST_MS, sql: `SELECT * FROM requests WHERE ${where} ORDER BY at DESC, id DESC LIMIT 100`, params };
}
