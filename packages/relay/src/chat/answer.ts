/** The story of one request: plan -> attempts -> settle. */
import { costNanos } from "@millrace/policy/price";
import { planAttempts } from "@millrace/policy/plan";
import type { Plan, PlannedAttempt } from "@millrace/policy/plan";
import { backoffMs } from "@millrace/policy/retry-budget";
import { formatUsd, nanos } from "@millrace/wire/money";
import { DONE_FRAME } from "@millrace/wire/sse";
import type { Upstream } from "../config/config.ts";
import type { Metrics } from "../insight/metrics.ts";
import type { AttemptRow, EndReason, Mark, RequestRow, RowStore } from "../insight/row.ts";
import type { Provider, Usage } from "../provider/provider.ts";
import type { Dialer } from "../upstream/dial.ts";
import type { Health } from "../upstream/health.ts";
import type { Attempt, AttemptInput, AttemptResult } from "./attempt.ts";
import { extensionError, openBill } from "./request-hold.ts";
import type { Bill, BillingPort } from "./request-hold.ts";
import { Checkpoints } from "./checkpoints.ts";
import { CreditGate } from "./credit-gate.ts";
import { errorOf } from "./attempt-failure.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import type { Exchange } from "./exchange.ts";
import { clampRetryAfter, relayError } from "./relay-error.ts";
import type { RelayError } from "./relay-error.ts";
import { costOf, labelOf, upstreamOf } from "./snapshot.ts";
import { Meter, NO_USAGE } from "./meter.ts";
import {
  attemptRow,
  countAttempt,
  countRequest,
  endOfBroken,
  endOfComplete,
  endOfEnded,
  endOfRefusal,
  estimateInput,
  isUnpriced,
  UNPRICED,
  usageOf,
} from "./record.ts";
import type { CountedBy } from "./record.ts";
import { PlainAttempt } from "./plain-attempt.ts";
import type { Sink } from "./sink.ts";
import { StreamAttempt } from "./stream-attempt.ts";
import { ClientStream } from "./client-stream.ts";
import type { StreamTimes } from "./client-stream.ts";
import type { Ticker } from "./ticker.ts";

/** What the hot path is built from. */
export interface ChatParts {
  readonly providerOf: (name: string) => Provider;
  readonly health: Health;
  readonly dialer: Dialer;
  readonly ticker: Ticker;
  readonly rows: RowStore;
  readonly billing: BillingPort;
  readonly metrics: Metrics;
  readonly drains: DrainBudget;
  readonly streamTimes: StreamTimes;
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

/** Same upstream again, after a connection that never stood. */
const RETRIES_MAX = 2;

/** A running request, as the relay sees it from outside. */
export interface Running {
  readonly keyId: string;
  /** Ends it with `relay_stopped`. */
  stop(): void;
  /** Ends it with `key_revoked`. */
  revoke(): void;
  readonly done: Promise<void>;
}

/** Answers one request into `sink`, and settles its row. `done` never rejects. */
export function answer(exchange: Exchange, sink: Sink, parts: ChatParts): Running {
  const story = new Story(exchange, sink, parts);
  return {
    keyId: exchange.key.id,
    stop: () => story.end(relayError("relay_stopped", "The relay is shutting down. Send the request again.")),
    revoke: () => story.end(relayError("key_revoked", "This key was revoked while the answer ran.", { shouldRetry: false })),
    done: story.tell(),
  };
}

/** What was written down of a request. */
interface Kept {
  readonly row: RequestRow;
  readonly writtenOffNanos: bigint;
  /** False when it may be lost, or when what is charged is not known yet: then the answer must not look finished. */
  readonly isSafe: boolean;
}

class Story {
  readonly #exchange: Exchange;
  readonly #sink: Sink;
  readonly #parts: ChatParts;
  readonly #out: ClientStream;
  readonly #rows: AttemptRow[] = [];
  #meter = new Meter();
  /** The attempt under way, and the last one that is over. */
  #attempt: Attempt | null = null;
  #answered: Attempt | null = null;
  #upstream: Upstream | null = null;
  #upstreamModel: string | null = null;
  /** When the first attempt began: what came before it is ours. */
  #firstAttemptAt: number | null = null;
  #overheadMs: number | null = null;
  /** Why the relay itself ended the answer. */
  #ended: RelayError | null = null;
  #isDraining = false;
  #wake: (() => void) | null = null;
  #bill: Bill | null = null;
  #checkpoints: Checkpoints | null = null;
  #gate: CreditGate | null = null;
  #inputEstimate: number | null = null;
  /** The last upstream had the request, and neither refused it nor broke off before any output. */
  #wasWorkedOn = false;

  constructor(exchange: Exchange, sink: Sink, parts: ChatParts) {
    this.#exchange = exchange;
    this.#sink = sink;
    this.#parts = parts;
    this.#out = new ClientStream(sink, parts.streamTimes, exchange.receivedAt, () => this.#headers());
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
      if (this.#checkpoints !== null) ticker.remove(this.#checkpoints);
      if (this.#isDraining) this.#parts.drains.give();
    }
  }

  async #tryAll(): Promise<unknown> {
    const plan = planAttempts(
      this.#exchange.model.routes.map((route) => this.#parts.health.stateOf(route)),
      performance.now(),
    );
    if (plan.attempts.length === 0) return this.#refuse(noRoom(plan));
    const refusal = await this.#openBill();
    if (refusal !== null) return this.#refuse(refusal);
    if (this.#isLost) return this.#settle({ kind: "cancelled" });
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

  /** Hold first: nothing is sent to an upstream for a metered account before this. */
  async #openBill(): Promise<RelayError | null> {
    const opened = await openBill(this.#parts.billing, this.#exchange);
    if (!opened.ok) return opened.error;
    const { bill } = opened;
    this.#bill = bill;
    if (bill === null || bill.priceId === null || !this.#exchange.request.isStream) return null;
    this.#checkpoints = new Checkpoints(bill, () => this.#delivered(), performance.now());
    this.#parts.ticker.add(this.#checkpoints);
    if (bill.coveredTokens !== null) {
      const onOpen = (): void => (this.#attempt instanceof StreamAttempt ? this.#attempt.onCovered() : undefined);
      this.#gate = new CreditGate(bill, bill.coveredTokens, onOpen, (refused) => this.end(extensionError(refused)));
    }
    return null;
  }

  /** What the client has by now, by the upstream's count or by ours; null before there is any. */
  #delivered(): Usage | null {
    if (this.#attempt === null || this.#meter.output === 0) return null;
    if (this.#meter.usage !== null) return this.#meter.usage;
    this.#inputEstimate ??= estimateInput(this.#exchange);
    return { ...NO_USAGE, input: this.#inputEstimate, output: this.#meter.output };
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
    const upstream = upstreamOf(this.#exchange.snapshot, planned.upstream);
    this.#upstream = upstream;
    this.#upstreamModel = planned.model;
    this.#meter = new Meter();
    const attempt = this.#make(upstream, planned.model);
    this.#firstAttemptAt ??= attempt.times.startedAt;
    this.#attempt = attempt;
    const result = await attempt.run();
    this.#note(attempt, result, upstream);
    this.#attempt = null;
    this.#answered = attempt;
    return result;
  }

  #make(upstream: Upstream, upstreamModel: string): Attempt {
    const parts = this.#parts;
    const { request, snapshot } = this.#exchange;
    const provider = parts.providerOf(upstream.provider);
    const wire = provider.encode(request, { model: upstreamModel, apiKey: upstream.apiKey, usageInStream: upstream.usageInStream });
    const { dialer, ticker } = parts;
    const { redactor } = snapshot;
    const { answerBytesMax } = snapshot.config.sizes;
    const input: AttemptInput = { upstream, provider, request, wire, dialer, ticker, redactor, meter: this.#meter, answerBytesMax };
    if (!request.isStream) return new PlainAttempt(input, this.#sink, () => this.#openPlain());
    const series = parts.metrics.interToken.series({ model: labelOf(snapshot, this.#exchange.model.name), upstream: upstream.name });
    return new StreamAttempt(input, this.#out, (gapMs) => parts.metrics.interToken.put(series, gapMs / 1000), this.#gate);
  }

  #openPlain(more: Readonly<Record<string, string>> = {}): void {
    this.#sink.open({ contentType: "application/json", headers: { ...this.#headers(), ...more } });
  }

  /** Headers of the answer, leaving now. */
  #headers(): Readonly<Record<string, string>> {
    this.#overheadMs = this.#overheadSoFar();
    const attempts = this.#rows.length + (this.#attempt === null ? 0 : 1);
    return {
      "x-millrace-attempts": String(attempts),
      ...(this.#upstream === null ? {} : { "x-millrace-upstream": this.#upstream.name }),
      ...(this.#overheadMs === null ? {} : { "x-millrace-overhead-ms": this.#overheadMs.toFixed(2) }),
    };
  }

  /** What the relay added: before the first attempt, until the request of the last one was sent, and since its answer was whole. */
  #overheadSoFar(): number | null {
    const times = (this.#attempt ?? this.#answered)?.times;
    if (times === undefined || times.sentAt === null || times.firstByteAt === null || this.#firstAttemptAt === null) return null;
    const before = this.#firstAttemptAt - this.#exchange.bodyReadAt + (times.sentAt - times.startedAt);
    return before + (times.endedAt === null ? 0 : performance.now() - times.endedAt);
  }

  #note(attempt: Attempt, result: AttemptResult, upstream: Upstream): void {
    const failure = result.kind === "failed" ? result.failure : null;
    const names = { upstream: upstream.name, upstreamModel: this.#upstreamModel ?? "" };
    const isInVain = failure !== null || (result.kind === "broken" && this.#meter.output === 0);
    this.#wasWorkedOn = !isInVain && attempt.times.sentAt !== null;
    const row = attemptRow(this.#rows.length + 1, attempt, result, names, this.#meter, this.#exchange.snapshot.redactor);
    this.#rows.push(row);
    countAttempt(this.#parts.metrics, row);
    if (failure?.kind === "throttled") this.#parts.health.throttled(upstream.name, performance.now(), failure.retryAfterMs);
    if (failure?.kind === "credential") {
      this.#parts.health.refusedCredential(upstream.name, performance.now());
      this.#parts.onTrouble(`upstream ${upstream.name} refuses our key or account (${failure.detail}); it is left out for a minute`);
    }
  }

  async #settle(result: Exclude<AttemptResult, { kind: "failed" }>): Promise<unknown> {
    if (result.kind === "complete" && !this.#isLost) return this.#complete(result.marks);
    if (this.#sink.isGone) return this.#record("client_gone", null, []);
    if (this.#ended !== null) {
      this.#sink.fail(this.#ended);
      return this.#record(endOfEnded(this.#ended.code), this.#ended.code, []);
    }
    if (result.kind === "broken") {
      this.#sink.fail(relayError(result.code, `The upstream ${result.detail}; the answer above is not whole.`));
      return this.#record(endOfBroken(result.code), result.code, []);
    }
    return this.#record("client_gone", null, result.kind === "complete" ? result.marks : []);
  }

  /** The row first, then the last frame: who saw `[DONE]` finds the row, whatever happens to this process. */
  async #complete(marks: readonly Mark[]): Promise<void> {
    const kept = await this.#keep(endOfComplete(this.#meter), null, marks);
    if (!kept.isSafe) this.#sink.fail(relayError("store_unavailable", "The relay could not record this answer.", { shouldRetry: false }));
    else this.#sendLast();
    // Nobody waits for the counts.
    this.#count(kept);
  }

  #sendLast(): void {
    if (this.#exchange.request.isStream) return this.#out.end(DONE_FRAME);
    const body = this.#answered instanceof PlainAttempt ? this.#answered.body : null;
    if (!this.#sink.isOpen) this.#openPlain({ "content-length": String(body?.length ?? 0) });
    this.#sink.end(body ?? undefined);
  }

  async #refuse(error: RelayError, failure?: AttemptFailure): Promise<void> {
    if (this.#rows.length === 0) this.#exchange.onUnused?.();
    this.#sink.fail(error);
    await this.#record(endOfRefusal(error, failure), error.passed === null ? error.code : "invalid_request", []);
  }

  async #record(endReason: EndReason, errorCode: string | null, marks: readonly Mark[]): Promise<void> {
    this.#count(await this.#keep(endReason, errorCode, marks));
  }

  /** Settlement and row, in one transaction. */
  async #keep(endReason: EndReason, errorCode: string | null, marks: readonly Mark[]): Promise<Kept> {
    const draft = this.#row(endReason, errorCode, marks);
    const ending = this.#bill?.endingOf(draft);
    const kept = this.#parts.rows.record(draft, ending).catch((error: unknown) => {
      this.#parts.onTrouble(`row ${draft.id} could not be kept: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    });
    // Who got an error has it by now, and may come again before the row is on disk.
    this.#exchange.onRow?.(draft);
    const recorded = await kept;
    const isCharged = recorded?.isStored === true && recorded.chargedNanos !== null;
    const row = isCharged ? { ...draft, chargeNanos: String(recorded.chargedNanos) } : draft;
    const writtenOffNanos = recorded?.isStored === true ? recorded.writtenOffNanos : 0n;
    return { row, writtenOffNanos, isSafe: recorded !== null && (recorded.isStored || ending === undefined) };
  }

  #count({ row, writtenOffNanos }: Kept): void {
    countRequest(this.#parts.metrics, row, labelOf(this.#exchange.snapshot, row.model), writtenOffNanos);
    if (writtenOffNanos > 0n)
      this.#parts.onTrouble(`request ${row.id} of ${row.accountId} cost ${formatUsd(nanos(writtenOffNanos))} USD more than there was`);
    this.#parts.onRow(row);
  }

  #row(endReason: EndReason, errorCode: string | null, marks: readonly Mark[]): RequestRow {
    const { id, at, key, request, model, receivedAt } = this.#exchange;
    const meter = this.#meter;
    const used = usageOf(this.#exchange, meter, this.#countedBy);
    const costNanos = this.#costNanos();
    return {
      id,
      at,
      accountId: key.accountId,
      keyId: key.id,
      endpoint: request.endpoint,
      model: model.name,
      upstream: this.#upstream?.name ?? null,
      upstreamModel: this.#upstreamModel,
      isStream: request.isStream,
      status: this.#sink.status,
      endReason,
      errorCode,
      marks: isUnpriced(used.usage, costNanos) ? [...marks, UNPRICED] : marks,
      ...used,
      priceId: this.#bill?.priceId ?? null,
      chargeNanos: null,
      costNanos,
      events: meter.events,
      bytesOut: this.#sink.bytesOut,
      ttftMs: this.#out.firstContentOutAt === null ? null : this.#out.firstContentOutAt - receivedAt,
      itlMeanMs: meter.itlMeanMs,
      itlMaxMs: meter.contentEvents < 2 ? null : meter.gapMaxMs,
      overheadMs: this.#overheadMs ?? this.#overheadSoFar(),
      durationMs: performance.now() - receivedAt,
      attempts: this.#rows,
    };
  }

  /** Where we ended the answer ourselves, the client pays for what it has of it, and for nothing when that is nothing. */
  get #countedBy(): CountedBy {
    if (this.#ended === null) return this.#wasWorkedOn || this.#meter.usage !== null ? "upstream" : "nobody";
    return this.#exchange.request.isStream && this.#meter.output > 0 ? "delivery" : "nobody";
  }

  /** What the attempts cost us by their upstreams' prices; null where no price is known. */
  #costNanos(): string | null {
    const known = this.#rows.flatMap(({ upstream, upstreamModel, usage }) => {
      const price = usage === null ? null : costOf(this.#exchange.snapshot, upstream, upstreamModel, this.#exchange.at);
      return usage === null || price === null ? [] : [costNanos(price, usage)];
    });
    return known.length === 0 ? null : String(known.reduce((sum, cost) => sum + cost, 0n));
  }

  get #isLost(): boolean {
    return this.#ended !== null || this.#sink.isGone;
  }

  #onGone(): void {
    this.#wake?.();
    const attempt = this.#attempt;
    if (attempt === null) return;
    const policy = this.#upstream?.onDisconnect ?? { mode: "abort" };
    if (policy.mode === "drain" && attempt.times.sentAt !== null && this.#parts.drains.take()) {
      this.#isDraining = true;
      attempt.drain(policy.forMs, policy.bytesMax);
    } else attempt.cancel();
  }

  /** The relay itself ends the answer, with these words. */
  end(error: RelayError): void {
    this.#ended ??= error;
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
