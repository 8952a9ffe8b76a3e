/** What the control plane reads: slices of lists, each with a place to go on from, and sums. */
import type { AuditEntry } from "../../control/audit-entry.ts";
import type { StoredRequest } from "../../insight/request-file.ts";
import type { Member } from "../../control/access/member.ts";
import type {
  AccountClash,
  Moment,
  OfAccount,
  RequestDetail,
  RequestFilter,
  Slice,
  AccountStatement,
  UpstreamDay,
  UpstreamSum,
  UsageQuestion,
  UsageSum,
  WriteOff,
  WriteOffFilter,
} from "../../control/ports.ts";
import { walletIdOf } from "../../ledger/state.ts";
import type { Lot, Transfer } from "../../ledger/state.ts";
import { AUDIT, MEMBERS } from "../tables/control-rows.ts";
import { readReceipt, readStatement } from "../ledger/read.ts";
import { LOTS, TRANSFERS } from "../tables/ledger-shapes.ts";
import { ATTEMPTS, REQUESTS } from "../tables/request-rows.ts";
import { PERIOD_MS, sumWriteOffs, WRITE_OFFS, writeOffsOfSums } from "../tables/write-offs.ts";
import { readUpstreamDay } from "../tables/upstream-usage.ts";
import { inEach } from "../sql/dialect.ts";
import { read, textIn } from "../sql/sql.ts";
import type { Row, Sql, SqlText, SqlValue } from "../sql/sql.ts";
import { objectOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";

/** A condition with its parameters; null where it does not narrow. */
type Condition = readonly [sql: SqlText, ...params: SqlValue[]] | null;

interface Question {
  readonly select: string;
  readonly where: readonly Condition[];
  readonly end: string;
}

function ask({ select, where, end }: Question, ...more: readonly SqlValue[]): Sql<readonly Row[]> {
  const said = where.filter((condition) => condition !== null);
  const sql = inEach(({ name }) => {
    const conditions = said.map(([text]) => textIn(text, name));
    return `${select}${conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`} ${end}`;
  });
  return read(sql, [...said.flatMap(([, ...params]) => params), ...more]);
}

function* slice<T>(shape: Shape<T>, conditions: readonly Condition[], order: string, limit: number): Sql<T[]> {
  const rows = yield* ask({ select: shape.select, where: conditions, end: `ORDER BY ${order} LIMIT ?` }, limit);
  return rows.map((row) => objectOf(shape, row));
}

function when<T extends SqlValue>(sql: SqlText, value: T | undefined): Condition {
  return value === undefined ? null : [sql, value];
}

function past(sql: string, after: Moment | null): Condition {
  return after === null ? null : [sql, after.atMs, after.id];
}

/** What one question of a page of usage reads at first. */
const SLICE_PERIODS = 8;

/**
 * A page of sums, read in slices of time: what is grouped is read to its end before its first row is known, and a page is
 * seldom of all the time that is asked for. Where there is little the slices grow.
 */
function* usageRows(wish: UsageQuestion, group: string): Sql<Row[]> {
  const rows: Row[] = [];
  let fromMs = Math.max(wish.fromMs, wish.after?.atMs ?? wish.fromMs);
  for (let widthMs = SLICE_PERIODS * PERIOD_MS[wish.period]; fromMs < wish.toMs && rows.length < wish.limit;) {
    const untilMs = Math.min(fromMs + widthMs, wish.toMs);
    const where: Condition[] = [
      ["period = ?", wish.period],
      ["starts_at >= ?", fromMs],
      ["starts_at < ?", untilMs],
      when("account_id = ?", wish.accountId),
      wish.after === null ? null : [`(starts_at, ${group}) > (?, ?)`, wish.after.atMs, wish.after.group],
    ];
    const select = `SELECT starts_at, ${group} AS name, ${SUMS} FROM usage_sums`;
    const end = `GROUP BY starts_at, ${group} ORDER BY starts_at, ${group} LIMIT ?`;
    const slice = yield* ask({ select, where, end }, wish.limit - rows.length);
    rows.push(...slice);
    if (slice.length * 4 < wish.limit) widthMs *= 2;
    fromMs = untilMs;
  }
  return rows;
}

/** How most requests end. The indexes of the others leave these out, see `schema.ts`. */
const USUAL_STATUS = 200;
const USUAL_END = "complete";

/**
 * A condition that may go by a partial index. The database sees that it may where the index's own condition stands in the
 * question as it stands in the schema; a parameter could be anything.
 */
function unusual<T extends SqlValue>(column: string, usual: T, value: T | undefined): Condition {
  if (value === undefined || value === usual) return when(`${column} = ?`, value);
  return [`${column} = ? AND ${column} <> ${typeof usual === "string" ? `'${usual}'` : String(usual)}`, value];
}

/** A key may have made most of the requests: where few are asked for SQLite, which keeps no statistics, must not go by it. */
function ofKey({ keyId, status, endReason }: RequestFilter): Condition {
  const isRare = (status ?? USUAL_STATUS) !== USUAL_STATUS || (endReason ?? USUAL_END) !== USUAL_END;
  return when(isRare ? UNINDEXED_KEY : "key_id = ?", keyId);
}

const UNINDEXED_KEY = inEach(({ unindexed }) => `${unindexed("key_id")} = ?`);

const USAGE_COLUMNS = { account: "account_id", key: "key_id", model: "model", upstream: "upstream" } as const;
const SUMS = [
  "requests",
  "errors",
  "input_tokens",
  "cached_input_tokens",
  "cache_write_tokens",
  "output_tokens",
  "reasoning_tokens",
  "charge_nanos",
  "cost_nanos",
]
  .map((name) => `CAST(SUM(${name}) AS BIGINT) AS ${name}`)
  .join(", ");

export const CONTROL_QUERIES = {
  upstreamDay: (day: UpstreamDay): Sql<UpstreamSum[]> => readUpstreamDay(day),
  member: function* ({ by, value }: { by: "id" | "sha256"; value: string }): Sql<Member | null> {
    const [row] = yield* read(`${MEMBERS.select} WHERE ${by} = ?`, [value]);
    return row === undefined ? null : objectOf(MEMBERS, row);
  },
  accountClash: function* ({ id, name }: { id: string; name: string }): Sql<AccountClash | null> {
    const rows = yield* read("SELECT id, status FROM accounts WHERE id = ? OR name = ?", [id, name]);
    if (rows.some((row) => row["id"] !== id)) return "name";
    return rows.some((row) => row["status"] === "closed") ? "closed" : null;
  },
  members: ({ after, limit }: Slice<Moment>): Sql<Member[]> =>
    slice(MEMBERS, [past("(created_at, id) > (?, ?)", after)], "created_at, id", limit),
  auditEntries: ({ after, limit }: Slice<number>): Sql<AuditEntry[]> =>
    slice(AUDIT, [after === null ? null : ["seq < ?", after]], "seq DESC", limit),
  transfers: ({ accountId, after, limit }: OfAccount<number>): Sql<Transfer[]> =>
    slice(
      TRANSFERS,
      [["wallet_id = ?", walletIdOf(accountId)], after === null ? null : ["wallet_seq < ?", after]],
      "wallet_seq DESC",
      limit,
    ),
  lots: ({ accountId, after, limit }: OfAccount<Moment>): Sql<Lot[]> =>
    slice(LOTS, [["wallet_id = ?", walletIdOf(accountId)], past("(created_at, id) < (?, ?)", after)], "created_at DESC, id DESC", limit),
  /** What is left of credit that was given and not paid for. */
  given: function* ({ accountId }: { accountId: string }): Sql<bigint> {
    const sql = "SELECT CAST(SUM(remaining) AS BIGINT) AS total FROM lots WHERE wallet_id = ? AND kind <> 'paid' AND used_up = 0";
    const [row] = yield* read(sql, [walletIdOf(accountId)]);
    return (row?.["total"] as bigint | null | undefined) ?? 0n;
  },
  requests: (wish: RequestFilter & Slice<Moment>): Sql<StoredRequest[]> =>
    slice(
      REQUESTS,
      [
        when("account_id = ?", wish.accountId),
        ofKey(wish),
        when("model = ?", wish.model),
        unusual("status", USUAL_STATUS, wish.status),
        unusual("end_reason", USUAL_END, wish.endReason),
        when("at >= ?", wish.fromMs),
        when("at < ?", wish.toMs),
        past("(at, id) < (?, ?)", wish.after),
      ],
      "at DESC, id DESC",
      wish.limit,
    ),
  requestDetail: function* ({ id }: { id: string }): Sql<RequestDetail | null> {
    const [row] = yield* read(`${REQUESTS.select} WHERE id = ?`, [id]);
    if (row === undefined) return null;
    const request = objectOf(REQUESTS, row);
    const attempts = yield* read(`${ATTEMPTS.select} WHERE request_id = ? ORDER BY n`, [id]);
    const receipt = yield* readReceipt(id, request.accountId);
    const priceId = receipt?.hold.priceId ?? null;
    const [price] = priceId === null ? [] : yield* read("SELECT version FROM price_versions WHERE id = ?", [priceId]);
    return {
      price: price === undefined ? null : String(price["version"]),
      request,
      attempts: attempts.map((attempt) => objectOf(ATTEMPTS, attempt)),
      receipt,
    };
  },
  statement: function* ({ accountId, fromMs, toMs }: { accountId: string; fromMs: number; toMs: number }): Sql<AccountStatement> {
    const statement = yield* readStatement(walletIdOf(accountId), fromMs, toMs);
    return { ...statement, writtenOffNanos: yield* sumWriteOffs(accountId, fromMs, toMs) };
  },
  writeOffs: (wish: WriteOffFilter & Slice<Moment>): Sql<WriteOff[]> =>
    slice(
      WRITE_OFFS,
      [
        when("account_id = ?", wish.accountId),
        when("at >= ?", wish.fromMs),
        when("at < ?", wish.toMs),
        past("(at, id) < (?, ?)", wish.after),
      ],
      "at DESC, id DESC",
      wish.limit,
    ),
  usage: function* (wish: UsageQuestion): Sql<UsageSum[]> {
    const group = USAGE_COLUMNS[wish.by];
    const sums = (yield* usageRows(wish, group)).map((row) => ({
      atMs: Number(row["starts_at"]),
      group: String(row["name"]),
      requests: Number(row["requests"]),
      errors: Number(row["errors"]),
      inputTokens: Number(row["input_tokens"]),
      cachedInputTokens: Number(row["cached_input_tokens"]),
      cacheWriteTokens: Number(row["cache_write_tokens"]),
      outputTokens: Number(row["output_tokens"]),
      reasoningTokens: Number(row["reasoning_tokens"]),
      chargeNanos: row["charge_nanos"] as bigint,
      costNanos: row["cost_nanos"] as bigint,
    }));
    const [first, last] = [sums.at(0), sums.at(-1)];
    if (first === undefined || last === undefined) return [];
    const writtenOff = yield* writeOffsOfSums(wish, group, first.atMs, last.atMs);
    return sums.map((sum) => ({ ...sum, writtenOffNanos: writtenOff(sum) }));
  },
};
