/** What is written down of a request: its row and the rows of its attempts, from facts alone. */
import { costNanos } from "@millrace/policy/price";
import { NO_USAGE, requestRow } from "../insight/row.ts";
import type { AttemptRow, Mark, RequestRow } from "../insight/row.ts";
import type { Usage } from "../provider/provider.ts";
import type { AttemptReport } from "./attempt.ts";
import type { AttemptOutcome } from "./body-reader.ts";
import type { ChargeBasis, Conclusion } from "./conclusion.ts";
import type { Delivery } from "./delivery.ts";
import { estimateInput } from "./estimate.ts";
import type { Exchange } from "./exchange.ts";
import type { MeterReading } from "./meter.ts";
import type { Redactor } from "./redact.ts";
import { costOf } from "./snapshot.ts";

const DETAIL_LENGTH_MAX = 500;
/** Marks the row of a request whose cost at the upstream is unknown: an unknown cost must not look like no cost. */
export const UNPRICED = "unpriced" satisfies Mark;

/** All that a row is made of. */
export interface RecordedFacts {
  readonly exchange: Exchange;
  readonly attempts: readonly AttemptRow[];
  /** The report of the last attempt, or null where none was made. */
  readonly last: AttemptReport | null;
  readonly conclusion: Conclusion;
  readonly delivery: Pick<Delivery, "status" | "bytesOut" | "firstContentAt">;
  readonly priceId: string | null;
  /** Milliseconds that the relay added, or null where it cannot be told. */
  readonly overheadMs: number | null;
  /** Milliseconds of the monotonic clock. */
  readonly now: number;
}

/** The row of a request that is over. The charge is known when its hold has ended. */
export function rowOf(facts: RecordedFacts): RequestRow {
  const { exchange, attempts, last, conclusion, delivery, priceId, overheadMs } = facts;
  const used = usageOf(exchange, last?.meter ?? null, conclusion.basis);
  const cost = costNanosOf(exchange, attempts);
  const isUnpriced = cost === null && used.usage.input + used.usage.output > 0;
  return requestRow({
    ...knownOf(facts),
    upstream: last?.planned.upstream ?? null,
    upstreamModel: last?.planned.model ?? null,
    marks: isUnpriced ? [...conclusion.marks, UNPRICED] : conclusion.marks,
    ...used,
    priceId,
    costNanos: cost,
    ...measuresOf(last?.meter ?? null),
    bytesOut: delivery.bytesOut,
    ttftMs: delivery.firstContentAt === null ? null : delivery.firstContentAt - exchange.receivedAt,
    overheadMs,
    attempts,
  });
}

/** What is known of every request, without any arithmetic on money. */
function knownOf({ exchange, conclusion, delivery, now }: Parameters<typeof bareRow>[0]) {
  const { id, at, key, request, model, receivedAt, snapshot } = exchange;
  return {
    id,
    at,
    accountId: key.accountId,
    keyId: key.id,
    endpoint: request.endpoint,
    model: model.name,
    isStream: request.isStream,
    status: delivery.status,
    endReason: conclusion.endReason,
    errorCode: conclusion.errorCode,
    durationMs: now - receivedAt,
    revision: snapshot.revision,
  };
}

function measuresOf(meter: MeterReading | null): Pick<RequestRow, "events" | "itlMeanMs" | "itlMaxMs"> {
  if (meter === null) return { events: 0, itlMeanMs: null, itlMaxMs: null };
  return { events: meter.events, itlMeanMs: meter.itlMeanMs, itlMaxMs: meter.contentEvents < 2 ? null : meter.gapMaxMs };
}

/** Tokens of a request: the upstream's own count, else an estimate of what was worked on or delivered, else none. */
function usageOf(exchange: Exchange, meter: MeterReading | null, basis: ChargeBasis): Pick<RequestRow, "usage" | "basis"> {
  if (meter === null || basis === "none") return { usage: NO_USAGE, basis: "none" };
  if (meter.usage !== null && basis === "upstream") return { usage: meter.usage, basis: "exact" };
  if (meter.usage !== null) return { usage: cappedAt(meter.usage, meter.output), basis: "estimated" };
  return { usage: { ...NO_USAGE, input: estimateInput(exchange), output: meter.output }, basis: "estimated" };
}

/** The upstream's own count with no more output than what was delivered. */
function cappedAt(usage: Usage, delivered: number): Usage {
  const output = Math.min(usage.output, delivered);
  return { ...usage, output, reasoning: Math.min(usage.reasoning, output) };
}

/** The row of a request whose own row could not be made: it charges nothing. */
export function bareRow(facts: Pick<RecordedFacts, "exchange" | "conclusion" | "delivery" | "now">): RequestRow {
  return requestRow({ ...knownOf(facts), marks: [], usage: NO_USAGE, basis: "none" });
}

/** Nano-USD as decimal text that the attempts cost by their upstreams' prices; null where no price is known. */
function costNanosOf({ snapshot, at }: Exchange, attempts: readonly AttemptRow[]): string | null {
  const known = attempts.flatMap(({ upstream, upstreamModel, usage }) => {
    const price = usage === null ? null : costOf(snapshot, upstream, upstreamModel, at);
    return usage === null || price === null ? [] : [costNanos(price, usage)];
  });
  return known.length === 0 ? null : String(known.reduce((sum, cost) => sum + cost, 0n));
}

/** The row of one attempt that is over. @param n 1 for the first. */
export function attemptRow(
  n: number,
  { planned, outcome, times, status, requestId, meter }: AttemptReport,
  redactor: Redactor,
): AttemptRow {
  return {
    n,
    upstream: planned.upstream,
    upstreamModel: planned.model,
    outcome: wordOf(outcome),
    status,
    detail: detailOf(outcome, redactor),
    upstreamRequestId: requestId,
    usage: meter.usage,
    ttftMs: meter.firstContentAt === null ? null : meter.firstContentAt - (times.sentAt ?? times.startedAt),
    durationMs: times.endedAt - times.startedAt,
  };
}

function wordOf(outcome: AttemptOutcome): string {
  switch (outcome.kind) {
    case "failed":
      return outcome.failure.kind;
    case "broken":
      return outcome.code;
    case "complete":
      return "ok";
    case "cancelled":
      return "cancelled";
  }
}

function detailOf(outcome: AttemptOutcome, redactor: Redactor): string | null {
  if (outcome.kind === "complete" || outcome.kind === "cancelled") return null;
  const { detail, words } =
    outcome.kind === "broken"
      ? { detail: outcome.detail, words: outcome.note }
      : { detail: outcome.failure.detail, words: outcome.failure.error === null ? null : redactor.labelOf(outcome.failure.error) };
  return words === null ? detail : `${detail}: ${words}`.slice(0, DETAIL_LENGTH_MAX);
}

/** The row of a request that no upstream saw: what was asked, and why it was turned away. */
export function refusedRow(
  asked: Pick<RequestRow, "id" | "at" | "accountId" | "keyId" | "endpoint" | "model" | "revision">,
  status: number,
  errorCode: string,
  durationMs: number,
): RequestRow {
  return requestRow({ ...asked, isStream: false, status, endReason: "refused", errorCode, durationMs });
}
