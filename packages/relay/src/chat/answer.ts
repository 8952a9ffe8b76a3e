/** One request from its plan to its row: plan -> pay -> attempts -> conclude -> keep -> deliver. */
import { planAttempts } from "@millrace/policy/plan";
import type { Plan, PlannedAttempt } from "@millrace/policy/plan";
import { NO_USAGE } from "../insight/row.ts";
import type { AttemptRow, RequestRow } from "../insight/row.ts";
import type { Provider, Usage } from "../provider/provider.ts";
import type { Dialer } from "../upstream/dialer.ts";
import type { Health } from "../upstream/health.ts";
import type { Caller } from "../upstream/in-flight.ts";
import { Attempt } from "./attempt.ts";
import type { AttemptReport, AttemptTimes } from "./attempt.ts";
import type { BodyReader, ReaderHost } from "./body-reader.ts";
import { Cancellation } from "./cancellation.ts";
import type { CancellationCause } from "./cancellation.ts";
import { ClientBody, ClientStream } from "./client-delivery.ts";
import type { StreamTimes } from "./client-delivery.ts";
import type { ClientDialect } from "./client-dialect.ts";
import { conclude, internalError } from "./conclusion.ts";
import type { Conclusion } from "./conclusion.ts";
import type { DrainBudget } from "./drain-budget.ts";
import { estimateInput } from "./estimate.ts";
import type { Exchange } from "./exchange.ts";
import { runFallback } from "./fallback.ts";
import { noUpstream } from "./no-upstream.ts";
import { NO_PAYMENT, openPayment } from "./payment.ts";
import type { PaidAnswer, Payment } from "./payment.ts";
import { PlainReader } from "./plain-reader.ts";
import { attemptRow, bareRow, rowOf } from "./record.ts";
import { count, keep, noteAttempt } from "./recorder.ts";
import type { Kept, RecorderParts } from "./recorder.ts";
import { relayError } from "./relay-error.ts";
import type { RelayError } from "./relay-error.ts";
import type { BillingPort } from "./request-hold.ts";
import type { Sink } from "./sink.ts";
import { labelOf, upstreamOf } from "./snapshot.ts";
import { StreamReader } from "./stream-reader.ts";
import type { Ticker } from "./ticker.ts";

/** What the hot path is built from. */
export interface ChatParts extends RecorderParts {
  readonly providerOf: (name: string) => Provider;
  readonly health: Health;
  readonly dialer: Dialer;
  readonly ticker: Ticker;
  readonly billing: BillingPort;
  readonly drains: DrainBudget;
  readonly streamTimes: StreamTimes;
  /** Told of each mistake of the relay's own, once for each request. */
  readonly onBug: (requestId: string, error: unknown) => void;
}

/** Where the answer goes, and how it is spelled there. */
export interface Client {
  readonly sink: Sink;
  readonly dialect: ClientDialect;
}

/** Answers one request, and settles it. */
export class AnswerRun implements PaidAnswer {
  readonly #exchange: Exchange;
  readonly #sink: Sink;
  readonly #parts: ChatParts;
  readonly #delivery: ClientStream | ClientBody;
  readonly #cancellation = new Cancellation((error) => this.#report(error));
  readonly #reports: AttemptReport[] = [];
  readonly #attemptRows: AttemptRow[] = [];
  #attempt: Attempt | null = null;
  #payment: Payment = NO_PAYMENT;
  #overheadMs: number | null = null;
  #inputEstimate: number | null = null;
  #isDraining = false;
  #isKept = false;
  #hadBug = false;

  constructor(exchange: Exchange, { sink, dialect }: Client, parts: ChatParts) {
    const headers = (): Readonly<Record<string, string>> => this.#headers();
    this.#exchange = exchange;
    this.#sink = sink;
    this.#parts = parts;
    this.#delivery = exchange.request.isStream
      ? new ClientStream(sink, dialect, headers, parts.streamTimes, exchange.receivedAt)
      : new ClientBody(sink, dialect, headers);
  }

  /** Runs until the answer is over and written down. Never rejects. */
  async run(): Promise<void> {
    try {
      this.#listen();
      await this.#answer();
    } catch (error) {
      await this.#endWithBug(error).catch((second: unknown) => this.#cutOff(second));
    } finally {
      this.#guarded(() => this.#payment.close())();
      this.#guarded(() => this.#stopTicking())();
      if (this.#isDraining) this.#parts.drains.give();
    }
  }

  #stopTicking(): void {
    if (this.#delivery instanceof ClientStream) this.#parts.ticker.remove(this.#delivery);
  }

  #listen(): void {
    const { ticker } = this.#parts;
    this.#cancellation.onEnd((cause) => this.#onEnd(cause));
    this.#sink.onGone(this.#guarded(() => this.#cancellation.end({ by: "client" })));
    this.#sink.onDrain(this.#guarded(() => this.#attempt?.resume("client")));
    if (this.#delivery instanceof ClientStream) ticker.add(this.#delivery, (error) => this.onBug(error));
  }

  async #answer(): Promise<void> {
    const plan = this.#plan();
    const refusal = plan.attempts.length === 0 ? noUpstream(plan.skipped) : await this.#pay();
    const isTried = refusal === null && this.#cancellation.cause === null;
    const passedOver = isTried ? await runFallback(plan, this.#fallbackParts()) : [];
    const isInVain = isTried && this.#reports.length === 0 && this.#cancellation.cause === null;
    await this.#settle(this.#conclude(isInVain ? noUpstream([...plan.skipped, ...passedOver]) : refusal));
  }

  #plan(): Plan {
    const { model, snapshot } = this.#exchange;
    const states = model.routes.map((route) => this.#parts.health.stateOf(route, this.#caller));
    return planAttempts(states, { revision: snapshot.revision, arm: null }, performance.now());
  }

  get #caller(): Caller {
    const { key } = this.#exchange;
    return { accountId: key.accountId, keyId: key.id };
  }

  async #pay(): Promise<RelayError | null> {
    const opened = await openPayment(this.#parts.billing, this.#exchange, this);
    if (!opened.ok) return opened.error;
    this.#payment = opened.payment;
    this.#payment.start(this.#parts.ticker);
    return null;
  }

  #fallbackParts(): Parameters<typeof runFallback>[1] {
    return {
      health: this.#parts.health,
      caller: this.#caller,
      cancellation: this.#cancellation,
      attempt: (planned) => this.#attemptOnce(planned),
    };
  }

  async #attemptOnce(planned: PlannedAttempt): Promise<AttemptReport> {
    this.#attempt = this.#makeAttempt(planned);
    const report = await this.#attempt.run();
    this.#attempt = null;
    this.#reports.push(report);
    const row = attemptRow(this.#reports.length, report, this.#exchange.snapshot.redactor);
    this.#attemptRows.push(row);
    noteAttempt(this.#parts, row, report);
    return report;
  }

  #makeAttempt(planned: PlannedAttempt): Attempt {
    const { request, snapshot } = this.#exchange;
    const { dialer, ticker } = this.#parts;
    const { upstream, address } = upstreamOf(snapshot, planned.upstream);
    const provider = this.#parts.providerOf(upstream.provider);
    const wire = provider.encode(request, { model: planned.model, apiKey: upstream.apiKey, usageInStream: upstream.usageInStream });
    const { redactor } = snapshot;
    const delivery = this.#delivery;
    const settings = { upstream, provider, request, wire, redactor };
    const readerFor = (host: ReaderHost): BodyReader =>
      delivery instanceof ClientStream
        ? new StreamReader(host, { ...settings, delivery, gate: this.#payment.gate, onGap: this.#gapCounter(upstream.name) })
        : new PlainReader(host, { ...settings, delivery, answerBytesMax: snapshot.config.sizes.answerBytesMax });
    const onBug = (error: unknown): void => this.onBug(error);
    return new Attempt({ ...settings, planned, address, isStream: request.isStream, dialer, ticker, readerFor, onBug });
  }

  #gapCounter(upstream: string): (ms: number) => void {
    const { interToken } = this.#parts.metrics;
    const series = interToken.series({ model: this.#label, upstream });
    return (ms) => interToken.put(series, ms / 1000);
  }

  #conclude(refusal: RelayError | null): Conclusion {
    const { isStream } = this.#exchange.request;
    return conclude({
      isStream,
      reports: this.#reports,
      cause: this.#cancellation.cause,
      isEndedByRelay: this.#cancellation.isByRelay,
      refusal,
    });
  }

  /** An error is told at once. A good end follows the row: whoever saw it finds the row, whatever happens to this process. */
  async #settle(conclusion: Conclusion): Promise<void> {
    const { clientError } = conclusion;
    const outcome = this.#reports.at(-1)?.outcome;
    const isWhole = clientError === null && this.#cancellation.cause === null;
    if (conclusion.endReason === "refused" && this.#reports.length === 0) this.#exchange.onUnused?.();
    if (clientError !== null) this.#delivery.fail(clientError);
    const kept = await this.#keep(this.#row(conclusion));
    if (isWhole && outcome?.kind === "complete") this.#deliver(kept, outcome.rest);
    count(this.#parts, kept, this.#label);
  }

  #deliver(kept: Kept, rest: Buffer | null): void {
    if (kept.isSafe) this.#delivery.end(rest);
    else this.#delivery.fail(relayError("store_unavailable", "The relay could not record this answer.", { shouldRetry: false }));
  }

  async #keep(row: RequestRow): Promise<Kept> {
    const keeping = keep(this.#parts, row, this.#payment.endingOf(row));
    // A client that got an error has it by now, and may come again before the row is on disk.
    this.#guarded(() => this.#exchange.onRow?.(row))();
    const kept = await keeping;
    this.#isKept = true;
    return kept;
  }

  #row(conclusion: Conclusion): RequestRow {
    return rowOf({
      exchange: this.#exchange,
      attempts: this.#attemptRows,
      last: this.#reports.at(-1) ?? null,
      conclusion,
      delivery: this.#delivery,
      priceId: this.#payment.priceId,
      overheadMs: this.#overheadMs ?? this.#overheadSoFar(),
      now: performance.now(),
    });
  }

  /** A mistake of the relay's own ends its own request alone: told, written down, charged for what was delivered. */
  onBug(error: unknown): void {
    if (!this.#hadBug) this.#report(error);
    this.#hadBug = true;
    this.end({ by: "bug", error: internalError() });
  }

  /** The last resort: the log is told, and the client does not wait for ever. */
  #cutOff(error: unknown): void {
    this.#report(error);
    this.#sink.destroy();
  }

  #report(error: unknown): void {
    try {
      this.#parts.onBug(this.#exchange.id, error);
    } catch {
      // A log that throws has nowhere to be told of, and the request must end all the same.
    }
  }

  async #endWithBug(error: unknown): Promise<void> {
    this.onBug(error);
    const conclusion = this.#conclude(null);
    try {
      if (conclusion.clientError !== null) this.#delivery.fail(conclusion.clientError);
    } catch (second) {
      this.#report(second);
      this.#delivery.destroy();
    }
    if (!this.#isKept) await this.#keepAtLeast(conclusion);
  }

  /** Where the row cannot be made or kept, one without any arithmetic is: it voids the hold. */
  async #keepAtLeast(conclusion: Conclusion): Promise<void> {
    try {
      count(this.#parts, await this.#keep(this.#row(conclusion)), this.#label);
    } catch (error) {
      this.#report(error);
      const row = bareRow({ exchange: this.#exchange, conclusion, delivery: this.#delivery, now: performance.now() });
      if (!this.#isKept) await keep(this.#parts, row, this.#payment.endingOf(row));
    }
  }

  #guarded(callback: () => void): () => void {
    return () => {
      try {
        callback();
      } catch (error) {
        this.onBug(error);
      }
    };
  }

  /** Ends the answer before its upstream has. */
  end(cause: CancellationCause): void {
    this.#cancellation.end(cause);
  }

  /** A client that left may let its upstream call run on for its usage; nothing else may. */
  #onEnd(cause: CancellationCause): void {
    const attempt = this.#attempt;
    if (attempt === null || attempt.isOver) return;
    const policy = attempt.upstream.onDisconnect;
    if (cause.by !== "client" || policy.mode !== "drain" || attempt.times.sentAt === null || !this.#parts.drains.take())
      return attempt.cancel();
    this.#isDraining = true;
    attempt.drain(policy.forMs, policy.bytesMax);
  }

  delivered(): Usage | null {
    const meter = this.#attempt?.reader.meter;
    if (meter === undefined || meter.output === 0) return null;
    if (meter.usage !== null) return meter.usage;
    this.#inputEstimate ??= estimateInput(this.#exchange);
    return { ...NO_USAGE, input: this.#inputEstimate, output: meter.output };
  }

  onCovered(): void {
    this.#attempt?.reader.onCovered();
  }

  onUnpaid(error: RelayError): void {
    this.end({ by: "relay", error });
  }

  get #label(): string {
    return labelOf(this.#exchange.snapshot, this.#exchange.model.name);
  }

  /** Headers of the answer, leaving now. */
  #headers(): Readonly<Record<string, string>> {
    this.#overheadMs = this.#overheadSoFar();
    const upstream = this.#attempt?.upstream.name ?? this.#reports.at(-1)?.planned.upstream;
    return {
      "x-millrace-attempts": String(this.#reports.length + (this.#attempt === null ? 0 : 1)),
      ...(upstream === undefined ? {} : { "x-millrace-upstream": upstream }),
      ...(this.#overheadMs === null ? {} : { "x-millrace-overhead-ms": this.#overheadMs.toFixed(2) }),
    };
  }

  #overheadSoFar(): number | null {
    const last = this.#attempt?.times ?? this.#reports.at(-1)?.times;
    const first = this.#reports[0]?.times ?? last;
    return first === undefined || last === undefined ? null : overheadMs(this.#exchange, first, last);
  }
}

/** What the relay added: before the first attempt, until the request of the last one was sent, and since its answer was whole. */
function overheadMs({ bodyReadAt }: Exchange, first: AttemptTimes, last: AttemptTimes): number | null {
  if (last.sentAt === null || last.firstByteAt === null) return null;
  const before = first.startedAt - bodyReadAt + (last.sentAt - last.startedAt);
  return before + (last.endedAt === null ? 0 : performance.now() - last.endedAt);
}
