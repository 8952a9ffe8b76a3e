/** One try at one upstream: the call, its clocks, its status and the words of an error. A {@link BodyReader} reads a success. */
import { retryAfterMs } from "@millrace/policy/cooldown";
import type { PlannedAttempt } from "@millrace/policy/plan";
import type { Upstream } from "../config/config.ts";
import type { Provider, StatusFailure, UpstreamError, WireRequest } from "../provider/provider.ts";
import type { AnswerHandler, AnswerHeaders, Call, Dialer, DialFailure } from "../upstream/dialer.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import type { AttemptOutcome, BodyReader, PauseReason, ReaderHost } from "./body-reader.ts";
import { CallClock, describeOverdue } from "./call-clock.ts";
import type { Overdue } from "./call-clock.ts";
import { NOTHING_READ } from "./meter.ts";
import type { MeterReading } from "./meter.ts";
import type { Redactor } from "./redact.ts";
import type { UpstreamAddress } from "./snapshot.ts";
import type { Ticker, Ticking } from "./ticker.ts";

export interface AttemptSettings {
  readonly planned: PlannedAttempt;
  readonly upstream: Upstream;
  readonly address: UpstreamAddress;
  readonly provider: Provider;
  readonly wire: WireRequest;
  readonly isStream: boolean;
  readonly dialer: Dialer;
  readonly ticker: Ticker;
  readonly redactor: Redactor;
  /** Makes the reader of a success. */
  readonly readerFor: (host: ReaderHost) => BodyReader;
  /** Is told what one of the attempt's own callbacks threw. It must end the attempt. */
  readonly onBug: (error: unknown) => void;
}

/** Milliseconds of the monotonic clock; null where the moment has not come. */
export interface AttemptTimes {
  readonly startedAt: number;
  readonly sentAt: number | null;
  readonly firstByteAt: number | null;
  readonly endedAt: number | null;
}

/** What an attempt was, once it is over. */
export interface AttemptReport {
  readonly planned: PlannedAttempt;
  readonly outcome: AttemptOutcome;
  readonly times: AttemptTimes & { readonly endedAt: number };
  readonly status: number | null;
  /** The upstream's own request id. */
  readonly requestId: string | null;
  readonly meter: MeterReading;
}

/** Bytes read of an answer that will be an error anyway. */
const ERROR_BODY_MAX = 64 * 1024;
/** Time for the rest of such an answer. */
const ERROR_BODY_MS = 5_000;
/** An answered connection may finish its framing by itself for this long, so that it can be used again. */
const LINGER_MS = 1_000;

/** What is kept of the body of an answer that is an error, for its words. */
interface ErrorBody {
  readonly pieces: Buffer[];
  bytes: number;
  /** Milliseconds of the monotonic clock. */
  readonly since: number;
}

export class Attempt implements AnswerHandler, Ticking, ReaderHost {
  readonly #settings: AttemptSettings;
  readonly #clock: CallClock;
  readonly #reader: BodyReader;
  readonly #pausedBy = new Set<PauseReason>();
  readonly #startedAt = performance.now();
  #sentAt: number | null = null;
  #firstByteAt: number | null = null;
  #endedAt: number | null = null;
  #status: number | null = null;
  #requestId: string | null = null;
  #headers: AnswerHeaders = {};
  #call: Call | null = null;
  #resolve: ((report: AttemptReport) => void) | null = null;
  #errorBody: ErrorBody | null = null;
  #draining: { readonly until: number; bytesLeft: number } | null = null;
  #lingerUntil: number | null = null;

  constructor(settings: AttemptSettings) {
    this.#settings = settings;
    this.#clock = new CallClock(settings.upstream.timeouts, settings.isStream, this.#startedAt);
    this.#reader = settings.readerFor(this);
  }

  /** Sends the request and reads the answer until it is over. Rejects when the call could not be begun, which is a mistake of the relay. */
  run(): Promise<AttemptReport> {
    const { address, wire, dialer, ticker, onBug } = this.#settings;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      ticker.add(this, onBug);
      const path = `${address.basePath}${wire.path}`;
      const call = { method: "POST", origin: address.origin, path, headers: wire.headers, body: wire.body } as const;
      this.#call = dialer.dial(call, guarded(this, onBug));
      if (this.isOver) this.#call.abort();
    });
  }

  get upstream(): Upstream {
    return this.#settings.upstream;
  }

  get times(): AttemptTimes {
    return { startedAt: this.#startedAt, sentAt: this.#sentAt, firstByteAt: this.#firstByteAt, endedAt: this.#endedAt };
  }

  /** What is counted so far. */
  get reader(): BodyReader {
    return this.#reader;
  }

  get isOver(): boolean {
    return this.#endedAt !== null;
  }

  get isDraining(): boolean {
    return this.#draining !== null;
  }

  /** Ends the upstream call at once; the attempt is over as `cancelled`. */
  cancel(): void {
    this.finish({ kind: "cancelled" });
  }

  /** The client has left: reads on for the upstream's own usage, for `forMs` milliseconds and `bytesMax` bytes at most. */
  drain(forMs: number, bytesMax: number): void {
    this.#draining = { until: performance.now() + forMs, bytesLeft: bytesMax };
    this.#pausedBy.clear();
    this.#readOn();
    this.#reader.onCovered();
  }

  pause(reason: PauseReason): void {
    if (this.isOver || this.isDraining) return;
    this.#pausedBy.add(reason);
    this.#clock.pause(performance.now());
    this.#call?.pause();
  }

  /** Reads on, when nothing else stands against it. */
  resume(reason: PauseReason): void {
    this.#pausedBy.delete(reason);
    if (this.#pausedBy.size === 0) this.#readOn();
  }

  #readOn(): void {
    this.#clock.resume(performance.now());
    this.#call?.resume();
  }

  onEvent(now: number): void {
    this.#clock.event(now);
  }

  finish(outcome: AttemptOutcome): void {
    if (this.isOver) return;
    const endedAt = performance.now();
    this.#endedAt = endedAt;
    const meter = this.#readMeter();
    this.#resolve?.({
      planned: this.#settings.planned,
      outcome,
      times: { ...this.times, endedAt },
      status: this.#status,
      requestId: this.#requestId,
      meter,
    });
    if (outcome.kind === "complete") this.#linger();
    else this.#leave();
  }

  /** An attempt has a report whatever its meter does. */
  #readMeter(): MeterReading {
    try {
      return this.#reader.meter.read();
    } catch (error) {
      this.#settings.onBug(error);
      return NOTHING_READ;
    }
  }

  #linger(): void {
    this.#lingerUntil = performance.now() + LINGER_MS;
    this.#call?.resume();
  }

  #leave(): void {
    this.#settings.ticker.remove(this);
    this.#call?.abort();
  }

  onRequestStart(): void {
    this.#sentAt = performance.now();
    this.#clock.sent(this.#sentAt);
  }

  onRequestReset(): void {
    this.#sentAt = null;
    this.#clock.unsent(performance.now());
  }

  onResponseStart(status: number, headers: AnswerHeaders): void {
    if (this.isOver) return;
    const { provider, redactor } = this.#settings;
    this.#status = status;
    this.#headers = headers;
    this.#firstByteAt = performance.now();
    const requestId = requestIdOf(headers, provider.requestIdHeaders);
    this.#requestId = requestId !== null && redactor.cleanText(requestId) === requestId ? requestId : null;
    const isPacked = (headers["content-encoding"] ?? "identity").toLowerCase() !== "identity";
    const isSuccess = status >= 200 && status < 300;
    if ((status >= 300 && status < 400) || (isPacked && !isSuccess)) return this.#failStatus(provider.failure(status, ""));
    if (isPacked) return this.fail("failed", "answered in a compressed encoding that was not asked for", null);
    if (!isSuccess || !this.#reader.accepts(headers)) this.#errorBody = { pieces: [], bytes: 0, since: performance.now() };
  }

  onResponseData(bytes: Buffer): void {
    if (this.isOver) return;
    const now = performance.now();
    this.#clock.byte(now);
    if (this.#draining !== null) {
      this.#draining.bytesLeft -= bytes.length;
      if (this.#draining.bytesLeft < 0) return this.cancel();
    }
    if (this.#errorBody === null) this.#reader.push(bytes, now);
    else this.#collectError(this.#errorBody, bytes);
  }

  /** Keeps a bounded part of the body for its words. */
  #collectError(body: ErrorBody, bytes: Buffer): void {
    body.pieces.push(bytes.subarray(0, ERROR_BODY_MAX - body.bytes));
    body.bytes += bytes.length;
    if (body.bytes >= ERROR_BODY_MAX) this.#failCollected(body.pieces);
  }

  onResponseEnd(): void {
    if (this.isOver) return this.#leave();
    if (this.#errorBody !== null) return this.#failCollected(this.#errorBody.pieces);
    this.#reader.end();
    if (this.isOver) return this.#leave();
    if (!this.#reader.isWaiting) throw new Error("an answer ended and its reader gave no outcome");
  }

  onResponseError(failure: DialFailure): void {
    if (this.isOver) return this.#leave();
    if (this.#errorBody !== null) return this.#failCollected(this.#errorBody.pieces);
    if (this.#status !== null) return this.#reader.cut("upstream_truncated", `broke the connection (${failure.reason})`);
    const verb = failure.kind === "connect" ? "could not be reached" : "broke the connection before it answered";
    this.fail(failure.kind === "connect" ? "connect" : "failed", `${verb} (${failure.reason})`, null);
  }

  tick(now: number): void {
    if (this.#lingerUntil !== null) {
      if (now >= this.#lingerUntil) this.#leave();
      return;
    }
    if (this.#draining !== null && now >= this.#draining.until) return this.cancel();
    if (this.#errorBody !== null && now - this.#errorBody.since >= ERROR_BODY_MS) return this.#failCollected(this.#errorBody.pieces);
    const overdue = this.#clock.overdue(now);
    if (overdue !== null) this.#onOverdue(overdue);
  }

  #onOverdue(overdue: Overdue): void {
    const detail = describeOverdue(overdue, this.upstream.timeouts);
    if (this.#status === null) return this.fail("timeout", detail, null);
    this.#reader.cut(overdue === "total" ? "upstream_timeout" : "upstream_stalled", detail);
  }

  fail(kind: AttemptFailure["kind"], detail: string, error: UpstreamError | null): void {
    const failure: AttemptFailure = {
      kind,
      upstream: this.upstream.name,
      status: this.#status,
      detail,
      error: error === null ? null : this.#settings.redactor.cleanError(error),
      wasSent: this.#sentAt !== null,
      retryAfterMs: retryAfterMs(this.#headers, Date.now()),
    };
    this.finish({ kind: "failed", failure });
  }

  #failStatus(failure: StatusFailure): void {
    const hasHint = failure.status === 503 && retryAfterMs(this.#headers, Date.now()) !== null;
    this.fail(hasHint ? "throttled" : failure.kind, `answered ${failure.status}`, failure.error);
  }

  #failCollected(pieces: readonly Buffer[]): void {
    const status = this.#status ?? 0;
    const failure = this.#settings.provider.failure(status, Buffer.concat(pieces).toString("utf8"));
    if (status < 200 || status >= 300) return this.#failStatus(failure);
    this.fail("failed", `answered ${status} without ${this.#reader.expected}`, failure.error);
  }
}

/** The handler with each callback guarded: a dialer would take what one throws for the upstream's fault, or swallow it. */
function guarded(handler: AnswerHandler, onBug: (error: unknown) => void): AnswerHandler {
  const guard =
    <A extends readonly unknown[]>(callback: (...given: A) => void) =>
    (...given: A): void => {
      try {
        callback(...given);
      } catch (error) {
        onBug(error);
      }
    };
  return {
    onRequestStart: guard(() => handler.onRequestStart()),
    onRequestReset: guard(() => handler.onRequestReset()),
    onResponseStart: guard((status, headers) => handler.onResponseStart(status, headers)),
    onResponseData: guard((bytes) => handler.onResponseData(bytes)),
    onResponseEnd: guard(() => handler.onResponseEnd()),
    onResponseError: guard((failure) => handler.onResponseError(failure)),
  };
}

function requestIdOf(headers: AnswerHeaders, names: readonly string[]): string | null {
  const id = names.map((name) => headers[name]).find((value) => value !== undefined);
  return id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : null;
}
