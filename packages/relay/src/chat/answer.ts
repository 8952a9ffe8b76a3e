/** The story of one request: plan -> attempts -> settle. */
import { estimateTokensOfSize } from "@millrace/policy/estimate";
import { planAttempts } from "@millrace/policy/plan";
import type { Plan, PlannedAttempt } from "@millrace/policy/plan";
import { backoffMs } from "@millrace/policy/retry-budget";
import { DONE_FRAME } from "@millrace/wire/sse";
import type { KeyRecord } from "../admission/keys.ts";
import type { Model, Upstream } from "../config/config.ts";
import type { Metrics } from "../insight/metrics.ts";
import type { AttemptRow, EndReason, RequestRow, RowStore } from "../insight/row.ts";
import type { ClientRequest, Provider } from "../provider/provider.ts";
import type { Dialer } from "../upstream/dial.ts";
import type { Health } from "../upstream/health.ts";
import type { Attempt, AttemptInput, AttemptResult } from "./attempt.ts";
import { clampRetryAfter, errorOf, relayError } from "./failure.ts";
import type { AttemptFailure, RelayError } from "./failure.ts";
import { Meter, NO_USAGE } from "./meter.ts";
import { PlainAttempt } from "./plain-attempt.ts";
import type { Redactor } from "./redact.ts";
import type { Sink } from "./sink.ts";
import { StreamAttempt } from "./stream-attempt.ts";
import { StreamOut } from "./stream-out.ts";
import type { StreamTimes } from "./stream-out.ts";
import type { Ticker } from "./ticker.ts";

/** What the hot path is built from. */
export interface ChatParts {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly providerOf: (name: string) => Provider;
  readonly health: Health;
  readonly dialer: Dialer;
  readonly ticker: Ticker;
  readonly redactor: Redactor;
  readonly rows: RowStore;
  readonly metrics: Metrics;
  readonly drains: DrainBudget;
  readonly streamTimes: StreamTimes;
  readonly answerBytesMax: number;
  /** Told of each finished request, for the log. */
  readonly onRow: (row: RequestRow) => void;
  readonly onTrouble: (message: string) => void;
}

/** Upstream calls that run on without a client, all together. */
export class DrainBudget {
  #running = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  take(): boolean {
    if (this.#running >= this.#max) return false;
    this.#running += 1;
    return true;
  }

  give(): void {
    this.#running -= 1;
  }
}

/** A request that was let in. Times are of the monotonic clock, `at` is the wall's. */
export interface Exchange {
  readonly id: string;
  readonly at: number;
  readonly receivedAt: number;
  readonly bodyReadAt: number;
  readonly key: KeyRecord;
  readonly request: ClientRequest;
  readonly model: Model;
  /** Bytes of the body's strings, for the estimate of its tokens. */
  readonly textBytes: number;
}

/** Same upstream again, after a connection that never stood. */
const RETRIES_MAX = 2;

/** A running request, as the relay sees it from outside. */
export interface Running {
  /** Ends it with `relay_stopped`. */
  stop(): void;
  readonly done: Promise<void>;
}

/** Answers one request into `sink`, and settles its row. `done` never rejects. */
export function answer(exchange: Exchange, sink: Sink, parts: ChatParts): Running {
  const story = new Story(exchange, sink, parts);
  return { stop: () => story.stop(), done: story.tell() };
}

class Story {
  readonly #exchange: Exchange;
  readonly #sink: Sink;
  readonly #parts: ChatParts;
  readonly #out: StreamOut;
  readonly #rows: AttemptRow[] = [];
  #meter = new Meter();
  #attempt: Attempt | null = null;
  #upstream: Upstream | null = null;
  #upstreamModel: string | null = null;
  #overheadMs: number | null = null;
  #isStopped = false;
  #isDraining = false;
  #wake: (() => void) | null = null;
  /** The last upstream had the request and did not refuse it. */
  #wasWorkedOn = false;

  constructor(exchange: Exchange, sink: Sink, parts: ChatParts) {
    this.#exchange = exchange;
    this.#sink = sink;
    this.#parts = parts;
    this.#out = new StreamOut(sink, parts.streamTimes, exchange.receivedAt, () => this.#headers());
    sink.onGone(() => this.#onGone());
    sink.onDrain(() => this.#attempt?.resume());
  }

  async tell(): Promise<void> {
    const { ticker } = this.#parts;
    if (this.#exchange.request.isStream) ticker.add(this.#out);
    try {
      await this.#tryAll();
    } finally {
      ticker.remove(this.#out);
      if (this.#isDraining) this.#parts.drains.give();
    }
  }

  async #tryAll(): Promise<unknown> {
    const plan = planAttempts(
      this.#exchange.model.routes.map((route) => this.#parts.health.stateOf(route)),
      performance.now(),
    );
    if (plan.attempts.length === 0) return this.#refuse(noRoom(plan));
    const failures: AttemptFailure[] = [];
    for (const planned of plan.attempts) {
      const result = await this.#tryOne(planned, plan.attempts.length === 1);
      if (result === null) continue;
      if (result.kind !== "failed") return this.#settle(result);
      failures.push(result.failure);
      if (result.failure.kind === "caller" || this.#isLost) break;
    }
    if (this.#isLost) return this.#settle({ kind: "cancelled" });
    return this.#refuse(failures.length === 0 ? noRoom(plan) : errorOf(failures), failures.at(-1));
  }

  /** One upstream; the same again only when it is the only one and no connection stood. Null when it was full. */
  async #tryOne(planned: PlannedAttempt, isOnly: boolean): Promise<AttemptResult | null> {
    const { health } = this.#parts;
    health.began(planned.upstream, performance.now());
    for (let retry = 1; ; retry++) {
      const slot = health.takeSlot(planned.upstream);
      if (slot === null) return null;
      const result = await this.#attemptOnce(planned).finally(() => slot.release());
      const isRetryable = result.kind === "failed" && isOnly && !result.failure.wasSent && result.failure.kind === "connect";
      if (!isRetryable || retry > RETRIES_MAX || this.#isLost || !health.mayRetry(planned.upstream, performance.now())) return result;
      await this.#sleep(backoffMs(retry, Math.random()));
      if (this.#isLost) return { kind: "cancelled" };
    }
  }

  async #attemptOnce(planned: PlannedAttempt): Promise<AttemptResult> {
    const { request } = this.#exchange;
    const upstream = this.#parts.upstreams.get(planned.upstream);
    if (upstream === undefined) throw new Error(`no upstream is named ${planned.upstream}`);
    this.#upstream = upstream;
    this.#upstreamModel = planned.model;
    this.#meter = new Meter();
    const attempt = this.#make(upstream, planned.model);
    this.#attempt = attempt;
    const result = await attempt.run();
    this.#attempt = null;
    this.#note(attempt, result, upstream);
    if (result.kind !== "complete" || request.isStream) return result;
    if (attempt instanceof PlainAttempt && attempt.body !== null) this.#body = attempt.body;
    return result;
  }

  #body: Buffer | null = null;

  #make(upstream: Upstream, upstreamModel: string): Attempt {
    const { parts, request } = { parts: this.#parts, request: this.#exchange.request };
    const provider = parts.providerOf(upstream.provider);
    const wire = provider.encode(request, { model: upstreamModel, apiKey: upstream.apiKey, usageInStream: upstream.usageInStream });
    const { dialer, ticker, redactor, answerBytesMax } = parts;
    const input: AttemptInput = { upstream, provider, request, wire, dialer, ticker, redactor, meter: this.#meter, answerBytesMax };
    if (!request.isStream) return new PlainAttempt(input, this.#sink, () => this.#openPlain());
    const series = parts.metrics.interToken.series({ model: this.#exchange.model.name, upstream: upstream.name });
    return new StreamAttempt(input, this.#out, (gapMs) => parts.metrics.interToken.put(series, gapMs / 1000));
  }

  #openPlain(): void {
    this.#sink.open({ contentType: "application/json", headers: this.#headers() });
  }

  /** Headers of the answer; the overhead is what we added up to this moment. */
  #headers(): Readonly<Record<string, string>> {
    const times = this.#attempt?.times;
    const headers: Record<string, string> = { "x-millrace-attempts": String(this.#rows.length + (this.#attempt === null ? 0 : 1)) };
    if (this.#upstream !== null) headers["x-millrace-upstream"] = this.#upstream.name;
    if (times?.firstByteAt === null || times?.firstByteAt === undefined) return headers;
    const before = (times.sentAt ?? times.startedAt) - this.#exchange.bodyReadAt;
    this.#overheadMs = Math.max(0, before);
    headers["x-millrace-overhead-ms"] = this.#overheadMs.toFixed(2);
    return headers;
  }

  #note(attempt: Attempt, result: AttemptResult, upstream: Upstream): void {
    const { meter, failure } = { meter: this.#meter, failure: result.kind === "failed" ? result.failure : null };
    const now = performance.now();
    this.#wasWorkedOn = failure === null && attempt.times.sentAt !== null;
    const outcome = failure?.kind ?? (result.kind === "broken" ? result.code : result.kind);
    const detail = failure?.detail ?? (result.kind === "broken" ? result.detail : null);
    const upstreamError = failure?.error ?? null;
    const note = result.kind === "broken" ? result.note : null;
    const words = upstreamError === null ? note : this.#parts.redactor.labelOf(upstreamError);
    this.#rows.push({
      n: this.#rows.length + 1,
      upstream: upstream.name,
      upstreamModel: this.#upstreamModel ?? "",
      outcome: outcome === "complete" ? "ok" : outcome,
      status: attempt.status,
      detail: words === null ? detail : `${detail ?? ""}: ${words}`.slice(0, 500),
      upstreamRequestId: attempt.upstreamRequestId,
      usage: meter.usage,
      ttftMs: meter.firstContentAt === null ? null : meter.firstContentAt - (attempt.times.sentAt ?? attempt.times.startedAt),
      durationMs: now - attempt.times.startedAt,
    });
    this.#parts.metrics.attempts.add({ upstream: upstream.name, outcome: outcome === "complete" ? "ok" : outcome });
    this.#parts.metrics.operationDuration.observe(
      { upstream: upstream.name, outcome: outcome === "complete" ? "ok" : outcome },
      (now - attempt.times.startedAt) / 1000,
    );
    if (failure?.kind === "throttled") this.#parts.health.throttled(upstream.name, now, failure.retryAfterMs);
    if (failure?.kind === "credential") {
      this.#parts.health.refusedCredential(upstream.name, now);
      this.#parts.onTrouble(`upstream ${upstream.name} refuses our key or account (${failure.detail}); it is left out for a minute`);
    }
  }

  async #settle(result: Exclude<AttemptResult, { kind: "failed" }>): Promise<unknown> {
    if (result.kind === "complete" && !this.#isLost) return this.#complete(result.marks);
    if (this.#isStopped) {
      this.#sink.fail(relayError("relay_stopped", "The relay is shutting down. Send the request again."));
      return this.#record("relay_stopped", "relay_stopped", []);
    }
    if (this.#sink.isGone) return this.#record("client_gone", null, []);
    if (result.kind === "broken") {
      this.#sink.fail(relayError(result.code, `The upstream ${result.detail}; the answer above is not whole.`));
      return this.#record(endOfBroken(result.code), result.code, []);
    }
    return this.#record("client_gone", null, result.kind === "complete" ? result.marks : []);
  }

  /** The row first, then the last frame: who saw `[DONE]` finds the row, whatever happens to this process. */
  async #complete(marks: readonly string[]): Promise<void> {
    if (!(await this.#record(endOfComplete(this.#meter), null, marks))) {
      this.#sink.fail(relayError("store_unavailable", "The relay could not record this answer.", { retryAfterS: 5 }));
      return;
    }
    if (this.#exchange.request.isStream) return this.#out.end(DONE_FRAME);
    if (!this.#sink.isOpen) this.#openPlainWhole();
    this.#sink.end(this.#body ?? undefined);
  }

  #openPlainWhole(): void {
    this.#sink.open({
      contentType: "application/json",
      headers: { ...this.#headersAfter(), "content-length": String(this.#body?.length ?? 0) },
    });
  }

  #headersAfter(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = { "x-millrace-attempts": String(this.#rows.length) };
    if (this.#upstream !== null) headers["x-millrace-upstream"] = this.#upstream.name;
    if (this.#overheadMs !== null) headers["x-millrace-overhead-ms"] = this.#overheadMs.toFixed(2);
    return headers;
  }

  async #refuse(error: RelayError, failure?: AttemptFailure): Promise<void> {
    this.#sink.fail(error);
    await this.#record(endOfRefusal(error, failure), error.passed === null ? error.code : "invalid_request", []);
  }

  async #record(endReason: EndReason, errorCode: string | null, marks: readonly string[]): Promise<boolean> {
    const row = this.#row(endReason, errorCode, marks);
    this.#count(row);
    this.#parts.onRow(row);
    try {
      await this.#parts.rows.record(row);
      return true;
    } catch (error) {
      this.#parts.onTrouble(`row ${row.id} could not be kept: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }

  #row(endReason: EndReason, errorCode: string | null, marks: readonly string[]): RequestRow {
    const { id, at, key, request, model, receivedAt } = this.#exchange;
    const meter = this.#meter;
    const { usage, basis } = this.#usage();
    return {
      id,
      at,
      accountId: key.accountId,
      keyId: key.id,
      door: request.door,
      model: model.name,
      upstream: this.#upstream?.name ?? null,
      upstreamModel: this.#upstreamModel,
      isStream: request.isStream,
      status: this.#sink.status,
      endReason,
      errorCode,
      marks,
      usage,
      basis,
      events: meter.events,
      bytesOut: this.#sink.bytesOut,
      ttftMs: this.#out.firstContentOutAt === null ? null : this.#out.firstContentOutAt - receivedAt,
      itlMeanMs: meter.itlMeanMs,
      itlMaxMs: meter.contentEvents < 2 ? null : meter.gapMaxMs,
      overheadMs: this.#overheadMs,
      durationMs: performance.now() - receivedAt,
      attempts: this.#rows,
    };
  }

  #usage(): Pick<RequestRow, "usage" | "basis"> {
    const { usage, estimatedOutput } = this.#meter;
    if (usage !== null) return { usage, basis: "exact" };
    if (!this.#wasWorkedOn) return { usage: NO_USAGE, basis: "none" };
    return { usage: { ...NO_USAGE, input: this.#estimateInput(), output: Math.ceil(estimatedOutput) }, basis: "estimated" };
  }

  #estimateInput(): number {
    const { request, textBytes } = this.#exchange;
    const sample = request.body.subarray(0, 65_536);
    const units = Buffer.from(sample.buffer, sample.byteOffset, sample.length).toString("utf8").length;
    return Math.ceil(estimateTokensOfSize(textBytes, textBytes * (units / Math.max(1, sample.length))));
  }

  #count(row: RequestRow): void {
    const { metrics } = this.#parts;
    const labels = { model: row.model, upstream: row.upstream ?? "none" };
    metrics.requests.add({ door: row.door, ...labels, status: String(row.status) });
    if (row.isStream) metrics.streamEnds.add({ reason: row.endReason });
    metrics.duration.observe(labels, row.durationMs / 1000);
    if (row.ttftMs !== null) metrics.ttft.observe(labels, row.ttftMs / 1000);
    if (row.overheadMs !== null) metrics.overhead.observe(labels, row.overheadMs / 1000);
    if (row.basis === "none") return;
    const { usage } = row;
    const counts = {
      input: usage.input,
      cached_input: usage.cachedInput,
      cache_write: usage.cacheWrite,
      output: usage.output,
      reasoning: usage.reasoning,
    };
    for (const [type, count] of Object.entries(counts))
      if (count > 0) metrics.tokens.add({ model: row.model, type, basis: row.basis }, count);
    metrics.tokenUsage.observe({ gen_ai_token_type: "input", model: row.model }, usage.input);
    metrics.tokenUsage.observe({ gen_ai_token_type: "output", model: row.model }, usage.output);
  }

  get #isLost(): boolean {
    return this.#isStopped || this.#sink.isGone;
  }

  #onGone(): void {
    this.#wake?.();
    const attempt = this.#attempt;
    if (attempt === null) return;
    const policy = this.#upstream?.onDisconnect ?? { mode: "abort" };
    if (policy.mode === "drain" && attempt.times.firstByteAt !== null && this.#parts.drains.take()) {
      this.#isDraining = true;
      attempt.drain(policy.forMs, policy.bytesMax);
    } else attempt.cancel();
  }

  /** The relay shuts down and this answer has had its time. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
    this.#attempt?.cancel();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function noRoom(plan: Plan): RelayError {
  const throttled = plan.skipped.filter((route) => route.reason === "throttled");
  if (throttled.length > 0 && throttled.length === plan.skipped.length) {
    return relayError("rate_limited", "Every upstream of this model asks for patience.", {
      retryAfterS: clampRetryAfter(Math.min(...throttled.map((route) => route.forMs))),
    });
  }
  if (plan.skipped.some((route) => route.reason === "full") || plan.attempts.length > 0) {
    return relayError("overloaded", "Every upstream of this model has as many calls in flight as it may.", { retryAfterS: 1 });
  }
  const waits = plan.skipped.map((route) => route.forMs);
  return relayError("no_upstream", "No upstream of this model is usable right now.", {
    retryAfterS: clampRetryAfter(Math.min(...waits, 60_000)),
  });
}

function endOfComplete(meter: Meter): EndReason {
  const reason = [...meter.finished.values()][0];
  if (reason === "length" || reason === "content_filter") return reason;
  return reason === "tool_calls" || reason === "function_call" ? "tool_calls" : "complete";
}

function endOfBroken(code: RelayError["code"]): EndReason {
  if (code === "upstream_truncated" || code === "upstream_stalled" || code === "upstream_timeout") return code;
  return "upstream_failed";
}

function endOfRefusal(error: RelayError, failure: AttemptFailure | undefined): EndReason {
  if (failure === undefined || error.passed !== null || error.code === "rate_limited") return "refused";
  return error.code === "upstream_timeout" ? "upstream_timeout" : "upstream_failed";
}
