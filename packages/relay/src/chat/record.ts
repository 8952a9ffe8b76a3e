/** What is written down of a request: its row, the rows of its attempts, and the counts that follow from them. */
import { estimateTokensOfSize } from "@millrace/policy/estimate";
import { endpointNames } from "../insight/endpoint-names.ts";
import type { Metrics } from "../insight/metrics.ts";
import { UNANSWERED } from "../insight/row.ts";
import type { AttemptRow, EndReason, Mark, RequestRow } from "../insight/row.ts";
import type { Exchange } from "./exchange.ts";
import type { Attempt, AttemptResult } from "./attempt.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import type { RelayError } from "./relay-error.ts";
import { NO_USAGE } from "./meter.ts";
import type { Meter } from "./meter.ts";
import type { Redactor } from "./redact.ts";

const DETAIL_LENGTH_MAX = 500;

/** The row of one attempt that is over. */
export function attemptRow(
  n: number,
  attempt: Attempt,
  result: AttemptResult,
  names: { readonly upstream: string; readonly upstreamModel: string },
  meter: Meter,
  redactor: Redactor,
): AttemptRow {
  const { startedAt, sentAt } = attempt.times;
  return {
    n,
    ...names,
    outcome: outcomeOf(result),
    status: attempt.status,
    detail: detailOf(result, redactor),
    upstreamRequestId: attempt.upstreamRequestId,
    usage: meter.usage,
    ttftMs: meter.firstContentAt === null ? null : meter.firstContentAt - (sentAt ?? startedAt),
    durationMs: performance.now() - startedAt,
  };
}

function outcomeOf(result: AttemptResult): string {
  switch (result.kind) {
    case "failed":
      return result.failure.kind;
    case "broken":
      return result.code;
    case "complete":
      return "ok";
    case "cancelled":
      return "cancelled";
  }
}

function detailOf(result: AttemptResult, redactor: Redactor): string | null {
  if (result.kind === "complete" || result.kind === "cancelled") return null;
  const detail = result.kind === "failed" ? result.failure.detail : result.detail;
  const error = result.kind === "failed" ? result.failure.error : null;
  const words = error === null ? (result.kind === "broken" ? result.note : null) : redactor.labelOf(error);
  return words === null ? detail : `${detail}: ${words}`.slice(0, DETAIL_LENGTH_MAX);
}

/**
 * Whose count is charged: the upstream's, or ours where it says nothing; ours of what was delivered; or nobody's, because nothing
 * was worked on or delivered.
 */
export type CountedBy = "upstream" | "delivery" | "nobody";

/** Tokens of a request: the upstream's own count, else an estimate where an upstream had worked on it, else none. */
export function usageOf(exchange: Exchange, meter: Meter, counts: CountedBy): Pick<RequestRow, "usage" | "basis"> {
  if (meter.usage !== null && counts === "upstream") return { usage: meter.usage, basis: "exact" };
  if (counts === "nobody") return { usage: NO_USAGE, basis: "none" };
  return { usage: { ...NO_USAGE, input: estimateInput(exchange), output: meter.output }, basis: "estimated" };
}

/** Marks the row of a request whose tokens cost us something that is not known. */
export const UNPRICED = "unpriced" satisfies Mark;

/** Tokens were used, and nothing says what they cost: an unknown cost must not look like none. */
export function isUnpriced(usage: RequestRow["usage"], costNanos: string | null): boolean {
  return costNanos === null && usage.input + usage.output > 0;
}

/** From the size of the body's texts, and from how much of a sample of it is ASCII. */
export function estimateInput({ request, textBytes }: Pick<Exchange, "request" | "textBytes">): number {
  const sample = request.body.subarray(0, 65_536);
  const units = Buffer.from(sample.buffer, sample.byteOffset, sample.length).toString("utf8").length;
  return Math.ceil(estimateTokensOfSize(textBytes, textBytes * (units / Math.max(1, sample.length))));
}

/** A row with nothing but what was asked: for requests that no upstream saw. */
export function refusedRow(
  asked: Pick<RequestRow, "id" | "at" | "accountId" | "keyId" | "endpoint" | "model">,
  status: number,
  errorCode: string,
  durationMs: number,
): RequestRow {
  return {
    ...UNANSWERED,
    ...asked,
    isStream: false,
    status,
    endReason: "refused",
    errorCode,
    marks: [],
    usage: NO_USAGE,
    basis: "none",
    priceId: null,
    chargeNanos: null,
    durationMs,
  };
}

export function endOfComplete(meter: Meter): EndReason {
  const reason = [...meter.finished.values()][0];
  if (reason === "length" || reason === "content_filter") return reason;
  return reason === "tool_calls" || reason === "function_call" ? "tool_calls" : "complete";
}

export function endOfBroken(code: RelayError["code"]): EndReason {
  if (code === "upstream_truncated" || code === "upstream_stalled" || code === "upstream_timeout") return code;
  return "upstream_failed";
}

/** The end of an answer that the relay itself ended. */
export function endOfEnded(code: RelayError["code"]): EndReason {
  switch (code) {
    case "key_revoked":
    case "insufficient_credits":
    case "store_unavailable":
      return code;
    case "budget_exceeded":
      return "insufficient_credits";
    default:
      return "relay_stopped";
  }
}

export function endOfRefusal(error: RelayError, failure: AttemptFailure | undefined): EndReason {
  if (failure === undefined || error.passed !== null || error.code === "rate_limited") return "refused";
  return error.code === "upstream_timeout" ? "upstream_timeout" : "upstream_failed";
}

/** Counts an attempt that is over. */
export function countAttempt(metrics: Metrics, row: AttemptRow): void {
  const labels = { upstream: row.upstream, outcome: row.outcome };
  metrics.attempts.add(labels);
  metrics.operationDuration.observe(labels, row.durationMs / 1000);
  if (row.ttftMs !== null) metrics.timeToFirstChunk.observe({ upstream: row.upstream }, row.ttftMs / 1000);
}

/** Nano-dollars as dollars, near enough for a graph. */
function usd(nanoUsd: bigint): number {
  return Number(nanoUsd) / 1e9;
}

/** Counts a request that is over. @param model a label of the configuration, so that clients cannot invent series. */
export function countRequest(metrics: Metrics, row: RequestRow, model: string, writtenOffNanos: bigint): void {
  const labels = { model, upstream: row.upstream ?? "none" };
  metrics.requests.add({ ...endpointNames(row.endpoint), ...labels, status: String(row.status) });
  if (row.isStream) metrics.streamEnds.add({ reason: row.endReason });
  metrics.duration.observe(labels, row.durationMs / 1000);
  if (row.ttftMs !== null) metrics.ttft.observe(labels, row.ttftMs / 1000);
  if (row.overheadMs !== null) metrics.overhead.observe(labels, row.overheadMs / 1000);
  if (row.chargeNanos !== null) metrics.charged.add({ model, basis: row.basis }, usd(BigInt(row.chargeNanos)));
  if (writtenOffNanos > 0n) metrics.writtenOff.add({ model }, usd(writtenOffNanos));
  if (row.basis === "none") return;
  const { usage } = row;
  if (row.marks.includes(UNPRICED)) metrics.unpriced.add(labels);
  const counts = {
    input: usage.input,
    cached_input: usage.cachedInput,
    cache_write: usage.cacheWrite,
    output: usage.output,
    reasoning: usage.reasoning,
  };
  for (const [type, count] of Object.entries(counts)) if (count > 0) metrics.tokens.add({ model, type, basis: row.basis }, count);
  metrics.tokenUsage.observe({ gen_ai_token_type: "input", model }, usage.input);
  metrics.tokenUsage.observe({ gen_ai_token_type: "output", model }, usage.output);
}
