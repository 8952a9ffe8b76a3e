/** Ninety days of requests, written by the product's own statements: the rows, their attempts, and the sums of both periods. */
import type { StoredAttempt, StoredRequest } from "../packages/relay/src/insight/request-file.ts";
import { writeRequests } from "../packages/relay/src/store/tables/request-rows.ts";
import type { Sql } from "../packages/relay/src/store/sql/sql.ts";
import { transaction } from "../packages/relay/src/store/transaction.ts";

export const DAYS = 90;
export const DAY_MS = 86_400_000;
export const ACCOUNTS = 500;
const KEYS_OF_ACCOUNT = 2;
const MODELS = 20;
const BATCH = 1_000;

/** Runs a transaction to its end. */
export type Run = <T>(make: () => Sql<T>) => T | Promise<T>;

/** @param toMs the time of the newest row. */
export async function fillRows(run: Run, count: number, toMs: number): Promise<void> {
  const random = seeded(7);
  const fromMs = toMs - DAYS * DAY_MS;
  for (let first = 0; first < count; first += BATCH) {
    const requests = Array.from({ length: Math.min(BATCH, count - first) }, (_, at) =>
      requestOf(first + at, fromMs + Math.floor(((first + at) / count) * DAYS * DAY_MS), random),
    );
    const outcome = await run(() => transaction((isAgain) => writeRequests(requests, requests.map(attemptOf), isAgain)));
    if (!outcome.ok) throw new Error(outcome.reason);
    if (process.stderr.isTTY && (first / BATCH) % 100 === 0) process.stderr.write(`\rfilling: ${first} of ${count} rows`);
  }
  if (process.stderr.isTTY) process.stderr.write("\r\u001B[K");
}

/** Few accounts make most of the requests, each key has models that it likes, and one upstream in twenty is the second. */
function requestOf(n: number, at: number, random: () => number): StoredRequest {
  const account = Math.floor(ACCOUNTS * random() ** 3);
  const key = account * KEYS_OF_ACCOUNT + (random() < 0.7 ? 0 : 1);
  const model = (key * 7 + Math.floor(3 * random() ** 2)) % MODELS;
  const isBad = random() < 0.02;
  const output = Math.floor(1_000 * random() ** 2);
  return {
    id: `req_${at.toString(36).padStart(9, "0")}${n.toString(36).padStart(8, "0")}`,
    at,
    accountId: `acct_${account}`,
    keyId: `key_${key}`,
    endpoint: "chat",
    model: `model-${model}`,
    upstream: random() < 0.95 ? `up-${model % 3}` : "up-spare",
    upstreamModel: `model-${model}`,
    isStream: random() < 0.8,
    status: isBad ? 502 : 200,
    endReason: isBad ? "upstream_failed" : "complete",
    errorCode: isBad ? "upstream_failed" : null,
    marks: "",
    inputTokens: 400,
    cachedInputTokens: 100,
    cacheWriteTokens: 0,
    outputTokens: output,
    reasoningTokens: 0,
    basis: "exact",
    events: output,
    bytesOut: output * 220,
    ttftMs: 180 + 200 * random(),
    itlMeanMs: 12.5,
    itlMaxMs: 60,
    overheadMs: 0.3,
    durationMs: 180 + output * 12.5,
    priceId: "price_1",
    chargeNanos: BigInt(400 * 100 + output * 420),
    costNanos: BigInt(400 * 80 + output * 300),
    revision: 1,
  };
}

function attemptOf(request: StoredRequest): StoredAttempt {
  const { id, upstream, model, status, inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens, reasoningTokens } = request;
  return {
    requestId: id,
    n: 1,
    upstream: upstream ?? "",
    upstreamModel: model,
    outcome: status === 200 ? "ok" : "failed",
    status,
    detail: null,
    upstreamRequestId: `chatcmpl-${id}`,
    inputTokens,
    cachedInputTokens,
    cacheWriteTokens,
    outputTokens,
    reasoningTokens,
    ttftMs: request.ttftMs,
    durationMs: request.durationMs,
  };
}

/** The same numbers in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
