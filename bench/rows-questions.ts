/** What a dashboard asks of ninety days: sums by each of their names, and pages of requests. */
import { DAY_MS, DAYS } from "./rows-fill.ts";

export interface Question {
  readonly name: string;
  /** Below `/admin/api/`. */
  readonly path: string;
  /** How much of a list is asked for: its first page, or all that a chart needs. */
  readonly pages: "first" | "all";
}

/** No answer may take longer, all its pages together. */
export const ANSWER_MUST_MS = 500;
/** An account that makes many requests, and one that makes few. */
const BUSY = "acct_0";
const QUIET = "acct_400";

export function questionsAt(nowMs: number): Question[] {
  const ninety = `from=${iso(nowMs - DAYS * DAY_MS)}&to=${iso(nowMs)}&limit=500`;
  const usage = (name: string, wish: string, pages: Question["pages"]): Question => ({
    name: `usage ${name}`,
    path: `usage?${wish}`,
    pages,
  });
  const requests = (name: string, wish: string): Question => ({ name: `requests ${name}`, path: `requests?${wish}`, pages: "first" });
  return [
    usage("by model, 90 days, a chart", `by=model&${ninety}`, "all"),
    usage("by upstream, 90 days, a chart", `by=upstream&${ninety}`, "all"),
    usage("by account, 90 days, a page", `by=account&${ninety}`, "first"),
    usage("by key, 90 days, a page", `by=key&${ninety}`, "first"),
    usage("of one account by model, 90 days, a chart", `by=model&account_id=${BUSY}&${ninety}`, "all"),
    usage("by model and hour, a day, a chart", `every=hour&by=model&limit=500&from=${iso(nowMs - DAY_MS)}&to=${iso(nowMs)}`, "all"),
    requests("newest", ""),
    requests("from the middle", `to=${iso(nowMs - 45 * DAY_MS)}`),
    requests("of a busy account", `account_id=${BUSY}`),
    requests("of a quiet account", `account_id=${QUIET}`),
    requests("of one key", "key_id=key_801"),
    requests("of one model of one account", `account_id=${QUIET}&model=model-0`),
    requests("that failed", "status=502"),
    requests("with an end reason that none has", "end_reason=key_revoked"),
  ];
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
