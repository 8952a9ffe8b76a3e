/** Keeps the row of a request and counts it: the effects that follow from what was concluded. */
import { formatUsd, nanos } from "@millrace/wire/money";
import type { KeyRecord } from "../admission/keys.ts";
import { errorText } from "../basics/error-text.ts";
import { endpointNames } from "../insight/endpoint-names.ts";
import type { Metrics } from "../insight/metrics.ts";
import type { AttemptRow, Ending, RequestRow, RowStore } from "../insight/row.ts";
import type { AttemptReport } from "./attempt.ts";
import { refusedRow, UNPRICED } from "./record.ts";

export interface RecorderParts {
  readonly rows: RowStore;
  readonly metrics: Metrics;
  /** Told of each finished request, for the log. */
  readonly onRow: (row: RequestRow) => void;
  readonly onTrouble: (message: string) => void;
}

/** What was written down of a request. */
export interface Kept {
  readonly row: RequestRow;
  readonly writtenOffNanos: bigint;
  /** False when it may be lost, or when what is charged is not known yet: then the answer must not look finished. */
  readonly isSafe: boolean;
}

/** Settlement and row, in one transaction. */
export async function keep(parts: RecorderParts, draft: RequestRow, ending: Ending | undefined): Promise<Kept> {
  const recorded = await parts.rows.record(draft, ending).catch((error: unknown) => {
    parts.onTrouble(`row ${draft.id} could not be kept: ${errorText(error)}`);
    return null;
  });
  if (recorded === null) return { row: draft, writtenOffNanos: 0n, isSafe: false };
  if (!recorded.isStored) return { row: draft, writtenOffNanos: 0n, isSafe: ending === undefined };
  const { chargedNanos, writtenOffNanos } = recorded;
  return { row: chargedNanos === null ? draft : { ...draft, chargeNanos: String(chargedNanos) }, writtenOffNanos, isSafe: true };
}

/** Tells of a request that is over. @param model a label of the configuration, so that clients cannot invent series. */
export function count(parts: RecorderParts, { row, writtenOffNanos }: Kept, model: string): void {
  countRequest(parts.metrics, row, model, writtenOffNanos);
  if (writtenOffNanos > 0n)
    parts.onTrouble(`request ${row.id} of ${row.accountId} cost ${formatUsd(nanos(writtenOffNanos))} USD more than there was`);
  parts.onRow(row);
}

/** Tells of an attempt that is over. */
export function noteAttempt(parts: RecorderParts, row: AttemptRow, { outcome }: AttemptReport): void {
  countAttempt(parts.metrics, row);
  if (outcome.kind === "failed" && outcome.failure.kind === "credential")
    parts.onTrouble(`upstream ${row.upstream} refuses our key or account (${outcome.failure.detail}); it is left out for a minute`);
}

/** What is known of a request that was turned away; whose it was only where its key was good. */
export interface RefusedRequest {
  readonly requestId: string;
  readonly status: number;
  readonly code: string;
  /** Number of the configuration that it was turned away by. */
  readonly revision: number | null;
  readonly key: KeyRecord | null;
  readonly endpoint: string | null;
  readonly model: string;
  readonly durationMs: number;
}

/**
 * Counts a refusal; where the key was good and there is room it also gets a row. Others could fill the disk or the memory at will,
 * so that they get a log line alone, by `onUnnamed`.
 */
export function noteRefusal(
  parts: RecorderParts & { readonly onUnnamed: (requestId: string, status: number, code: string) => void },
  refusal: RefusedRequest,
): void {
  const { requestId: id, status, code, key, endpoint, model, revision, durationMs } = refusal;
  parts.metrics.refusals.add({ code });
  if (key === null || endpoint === null || !parts.rows.hasRoom) return parts.onUnnamed(id, status, code);
  const asked = { id, at: Date.now(), accountId: key.accountId, keyId: key.id, endpoint, model, revision };
  const row = refusedRow(asked, status, code, durationMs);
  parts.onRow(row);
  parts.rows.record(row).catch((error: unknown) => parts.onTrouble(`row ${row.id} could not be kept: ${errorText(error)}`));
}

/** Counts an attempt that is over. */
function countAttempt(metrics: Metrics, row: AttemptRow): void {
  const labels = { upstream: row.upstream, outcome: row.outcome };
  metrics.attempts.add(labels);
  metrics.operationDuration.observe(labels, row.durationMs / 1000);
  if (row.ttftMs !== null) metrics.timeToFirstChunk.observe({ upstream: row.upstream }, row.ttftMs / 1000);
}

/** Nano-dollars as dollars, near enough for a graph. */
function usd(nanoUsd: bigint): number {
  return Number(nanoUsd) / 1e9;
}

function countRequest(metrics: Metrics, row: RequestRow, model: string, writtenOffNanos: bigint): void {
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
