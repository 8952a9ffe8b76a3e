/** The rows of requests: each once, whoever brings it, and the sums that summaries are read from. */
import { DAY_MS, HOUR_MS } from "@millrace/wire/duration";
import type { StoredAttempt, StoredRequest } from "../../insight/request-file.ts";
import type { AttemptRow, Mark, RequestRow } from "../../insight/row.ts";
import { readAmong, writeRows } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { columnsOf, objectOf, shapeOf, valuesOf } from "../sql/shape.ts";
import { insertInto, lookup, updateOf } from "../sql/statements.ts";

export const REQUESTS = shapeOf<StoredRequest>("requests", {
  id: ["id", "text"],
  at: ["at", "count"],
  accountId: ["account_id", "text"],
  keyId: ["key_id", "text"],
  endpoint: ["endpoint", "text"],
  model: ["model", "text"],
  upstream: ["upstream", "text"],
  upstreamModel: ["upstream_model", "text"],
  isStream: ["stream", "flag"],
  status: ["status", "count"],
  endReason: ["end_reason", "text"],
  errorCode: ["error_code", "text"],
  marks: ["marks", "text"],
  inputTokens: ["input_tokens", "count"],
  cachedInputTokens: ["cached_input_tokens", "count"],
  cacheWriteTokens: ["cache_write_tokens", "count"],
  outputTokens: ["output_tokens", "count"],
  reasoningTokens: ["reasoning_tokens", "count"],
  basis: ["basis", "text"],
  events: ["events", "count"],
  bytesOut: ["bytes_out", "count"],
  ttftMs: ["ttft_ms", "real"],
  itlMeanMs: ["itl_mean_ms", "real"],
  itlMaxMs: ["itl_max_ms", "real"],
  overheadMs: ["overhead_ms", "real"],
  durationMs: ["duration_ms", "real"],
  priceId: ["price_id", "text"],
  chargeNanos: ["charge_nanos", "nanos"],
  costNanos: ["cost_nanos", "nanos"],
  revision: ["revision", "count"],
});

export const ATTEMPTS = shapeOf<StoredAttempt>("attempts", {
  requestId: ["request_id", "text"],
  n: ["n", "count"],
  upstream: ["upstream", "text"],
  upstreamModel: ["upstream_model", "text"],
  outcome: ["outcome", "text"],
  status: ["status", "count"],
  detail: ["detail", "text"],
  upstreamRequestId: ["upstream_request_id", "text"],
  inputTokens: ["input_tokens", "count"],
  cachedInputTokens: ["cached_input_tokens", "count"],
  cacheWriteTokens: ["cache_write_tokens", "count"],
  outputTokens: ["output_tokens", "count"],
  reasoningTokens: ["reasoning_tokens", "count"],
  ttftMs: ["ttft_ms", "real"],
  durationMs: ["duration_ms", "real"],
});

/** Mark of a row that was made from its hold, because the process that served the request died. */
export const RECOVERED = "recovered" satisfies Mark;

const CONTENT = REQUESTS.keys.filter((key) => key !== "id");
const FIND_REQUESTS = lookup(REQUESTS.select, "id");
/** The count of what was written tells that one was there. */
const INSERT_REQUESTS = insertInto(REQUESTS, "(id) DO NOTHING");
const REPLACE_REQUESTS = updateOf(REQUESTS.table, { set: columnsOf(REQUESTS, CONTENT), match: columnsOf(REQUESTS, ["id"]) });
const INSERT_ATTEMPTS = insertInto(ATTEMPTS);

/**
 * Stores requests that are not stored yet. One that was made from its hold gives way to the true one, and one that was stored
 * so late that nobody heard of it to how the answer ended then.
 * @param attempts of all of them.
 * @param mayBeThere looks for those that are stored already. Nearly none ever is, and it costs as much as storing them.
 * @throws {GuardFailed} when one is there that was not looked for.
 */
export function* writeRequests(given: readonly StoredRequest[], attempts: readonly StoredAttempt[], mayBeThere: boolean): Sql<void> {
  const requests = [...new Map(given.map((request) => [request.id, request])).values()];
  if (!mayBeThere) {
    yield* addRequests(requests, attempts);
    return yield* addSums(requests, []);
  }
  const found = yield* readAmong(
    FIND_REQUESTS,
    requests.map((request) => request.id),
  );
  const known = new Map(found.map((row) => objectOf(REQUESTS, row)).map((request) => [request.id, request]));
  const added = requests.filter((request) => !known.has(request.id));
  const replaced = requests.filter((request) => {
    const before = known.get(request.id);
    return before !== undefined && givesWay(before, request);
  });
  yield* writeRows(
    REPLACE_REQUESTS,
    replaced.map((request) => [...valuesOf(REQUESTS, request, CONTENT), request.id]),
  );
  // What was stored late has its attempts already; what was made from a hold has none.
  const fromHolds = replaced.filter((request) => known.get(request.id)?.marks === RECOVERED);
  const written = new Set([...added, ...fromHolds].map((request) => request.id));
  yield* addRequests(
    added,
    attempts.filter((attempt) => written.has(attempt.requestId)),
  );
  const gone = replaced.flatMap((request) => known.get(request.id) ?? []);
  yield* addSums([...added, ...replaced], gone);
}

function* addRequests(requests: readonly StoredRequest[], attempts: readonly StoredAttempt[]): Sql<void> {
  const rows = requests.map((request) => valuesOf(REQUESTS, request));
  yield* writeRows(INSERT_REQUESTS, rows);
  const ofAttempts = attempts.map((attempt) => valuesOf(ATTEMPTS, attempt));
  yield* writeRows(INSERT_ATTEMPTS, ofAttempts);
}

function givesWay(before: StoredRequest, request: StoredRequest): boolean {
  if (before.marks === RECOVERED) return request.marks !== RECOVERED;
  return before.errorCode === null && request.errorCode === "store_unavailable";
}

interface UsageSumRow {
  readonly period: string;
  readonly startsAt: number;
  readonly accountId: string;
  readonly keyId: string;
  readonly model: string;
  readonly upstream: string;
  requests: number;
  errors: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
  reasoningTokens: number;
  chargeNanos: bigint;
  costNanos: bigint;
}

/** Requests of an hour or a day by account, key, model and upstream (empty where there was none). */
const USAGE_SUMS = shapeOf<UsageSumRow>("usage_sums", {
  period: ["period", "text"],
  startsAt: ["starts_at", "count"],
  accountId: ["account_id", "text"],
  keyId: ["key_id", "text"],
  model: ["model", "text"],
  upstream: ["upstream", "text"],
  requests: ["requests", "count"],
  errors: ["errors", "count"],
  inputTokens: ["input_tokens", "count"],
  cachedInputTokens: ["cached_input_tokens", "count"],
  cacheWriteTokens: ["cache_write_tokens", "count"],
  outputTokens: ["output_tokens", "count"],
  reasoningTokens: ["reasoning_tokens", "count"],
  chargeNanos: ["charge_nanos", "nanos"],
  costNanos: ["cost_nanos", "nanos"],
});

/** What a sum is of. */
const SUMMED_BY = ["period", "starts_at", "account_id", "key_id", "model", "upstream"];
const ADDED_UP = USAGE_SUMS.columns.filter(({ name }) => !SUMMED_BY.includes(name));
const ADD_SUMS = insertInto(
  USAGE_SUMS,
  `(${SUMMED_BY.join(", ")}) DO UPDATE SET ${ADDED_UP.map(({ name }) => `${name} = usage_sums.${name} + excluded.${name}`).join(", ")}`,
);

const PERIODS: readonly (readonly [name: string, ms: number])[] = [
  ["hour", HOUR_MS],
  ["day", DAY_MS],
];

/** One row for each sum that is touched, in the order of their keys, so that two relays never wait for each other in a circle. */
function* addSums(added: readonly StoredRequest[], gone: readonly StoredRequest[]): Sql<void> {
  const sums = new Map<string, UsageSumRow>();
  for (const request of added) addTo(sums, request, 1);
  for (const request of gone) addTo(sums, request, -1);
  const rows = [...sums.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => valuesOf(USAGE_SUMS, sum));
  yield* writeRows(ADD_SUMS, rows);
}

function addTo(sums: Map<string, UsageSumRow>, request: StoredRequest, sign: 1 | -1): void {
  for (const [period, ms] of PERIODS) {
    const startsAt = request.at - (request.at % ms);
    const { accountId, keyId, model } = request;
    const upstream = request.upstream ?? "";
    const id = JSON.stringify([period, startsAt, accountId, keyId, model, upstream]);
    let sum = sums.get(id);
    if (sum === undefined) sums.set(id, (sum = { period, startsAt, accountId, keyId, model, upstream, ...NOTHING }));
    sum.requests += sign;
    sum.errors += request.errorCode === null ? 0 : sign;
    sum.inputTokens += sign * request.inputTokens;
    sum.cachedInputTokens += sign * request.cachedInputTokens;
    sum.cacheWriteTokens += sign * request.cacheWriteTokens;
    sum.outputTokens += sign * request.outputTokens;
    sum.reasoningTokens += sign * request.reasoningTokens;
    sum.chargeNanos += BigInt(sign) * (request.chargeNanos ?? 0n);
    sum.costNanos += BigInt(sign) * (request.costNanos ?? 0n);
  }
}

const NOTHING = {
  requests: 0,
  errors: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  chargeNanos: 0n,
  costNanos: 0n,
};

export function storedRequest(row: RequestRow): StoredRequest {
  const { usage } = row;
  return {
    ...row,
    marks: row.marks.join(","),
    inputTokens: usage.input,
    cachedInputTokens: usage.cachedInput,
    cacheWriteTokens: usage.cacheWrite,
    outputTokens: usage.output,
    reasoningTokens: usage.reasoning,
    chargeNanos: row.chargeNanos === null ? null : BigInt(row.chargeNanos),
    costNanos: row.costNanos === null ? null : BigInt(row.costNanos),
  };
}

export function storedAttempts(row: RequestRow): StoredAttempt[] {
  return row.attempts.map((attempt) => storedAttempt(row.id, attempt));
}

function storedAttempt(requestId: string, attempt: AttemptRow): StoredAttempt {
  const { usage } = attempt;
  return {
    ...attempt,
    requestId,
    inputTokens: usage?.input ?? null,
    cachedInputTokens: usage?.cachedInput ?? null,
    cacheWriteTokens: usage?.cacheWrite ?? null,
    outputTokens: usage?.output ?? null,
    reasoningTokens: usage?.reasoning ?? null,
  };
}
