/** What every attempt shares: its inputs, its result, and the reading of an answer that is no success. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import { retryAfterMs } from "@millrace/policy/cooldown";
import type { Upstream } from "../config/config.ts";
import type { ClientRequest, Provider, StatusFailure, WireRequest } from "../provider/provider.ts";
import type { Mark } from "../insight/row.ts";
import type { AnswerHandler, AnswerHeaders, Call, Dialer, DialFailure } from "../upstream/dial.ts";
import { CallClock, describeOverdue } from "./call-clock.ts";
import type { Overdue } from "./call-clock.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import type { Meter } from "./meter.ts";
import type { Redactor } from "./redact.ts";
import type { Ticker, Ticking } from "./ticker.ts";

export interface AttemptInput {
  readonly upstream: Upstream;
  readonly provider: Provider;
  readonly request: ClientRequest;
  readonly wire: WireRequest;
  readonly dialer: Dialer;
  readonly ticker: Ticker;
  readonly redactor: Redactor;
  readonly meter: Meter;
  readonly answerBytesMax: number;
}

/** How an attempt was over. */
export type AttemptResult =
  /** Nothing that matters reached the client: another upstream may try. */
  | { readonly kind: "failed"; readonly failure: AttemptFailure }
  /** The answer is whole; its last frame, and the row before it, are the story's to write. */
  | { readonly kind: "complete"; readonly marks: readonly Mark[] }
  /** Content was sent and then something broke. */
  | { readonly kind: "broken"; readonly code: ErrorCode; readonly detail: string; readonly note: string | null }
  /** The client left, or the relay stops. */
  | { readonly kind: "cancelled" };

type PauseReason = "client" | "credit";

/** Times that the row and the overhead are made of. */
export interface AttemptTimes {
  readonly startedAt: number;
  sentAt: number | null;
  firstByteAt: number | null;
  endedAt: number | null;
}

/** Bytes read of an answer that will be an error anyway. */
const ERROR_BODY_MAX = 64 * 1024;
/** Time for the rest of such an answer. */
const ERROR_BODY_MS = 5_000;
/** An answered connection may finish its framing by itself for this long, so that it can be used again. */
const LINGER_MS = 1_000;

/** The transport half of an attempt. Subclasses read the body of a success. */
export abstract class Attempt implements AnswerHandler, Ticking {
  protected readonly input: AttemptInput;
  protected readonly clock: CallClock;
  readonly times: AttemptTimes;
  status: number | null = null;
  upstreamRequestId: string | null = null;
  protected isOver = false;
  #call: Call | null = null;
  #resolve: ((result: AttemptResult) => void) | null = null;
  #errorBody: Buffer[] | null = null;
  #errorBytes = 0;
  #errorSince = 0;
  #headers: AnswerHeaders = {};
  #lingerUntil: number | null = null;
  #isDraining: { readonly until: number; bytesLeft: number } | null = null;

  constructor(input: AttemptInput) {
    const now = performance.now();
    this.input = input;
    this.clock = new CallClock(input.upstream.timeouts, input.request.isStream, now);
    this.times = { startedAt: now, sentAt: null, firstByteAt: null, endedAt: null };
  }

  /** Sends the request and reads the answer until it is over. Never rejects. */
  run(): Promise<AttemptResult> {
    const { upstream, wire, dialer, ticker } = this.input;
    const base = new URL(upstream.baseUrl);
    const path = `${base.pathname.replace(/\/+$/, "")}${wire.path}`;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      ticker.add(this);
      this.#call = dialer.dial({ method: "POST", origin: base.origin, path, headers: wire.headers, body: wire.body }, this);
      if (this.isOver) this.#call.abort();
    });
  }

  /** Why reading is paused: the client is slow, or money for more is not set aside yet. */
  readonly #pausedBy = new Set<PauseReason>();

  /** Ends the upstream call at once; the attempt is over as `cancelled`. */
  cancel(): void {
    this.#call?.abort();
    this.finish({ kind: "cancelled" });
  }

  /** The client has left; read on for the upstream's own usage, within bounds. */
  drain(forMs: number, bytesMax: number): void {
    const now = performance.now();
    this.#isDraining = { until: now + forMs, bytesLeft: bytesMax };
    this.#pausedBy.clear();
    this.#readOn();
  }

  protected get isDraining(): boolean {
    return this.#isDraining !== null;
  }

  /** Stops reading until {@link resume}; the clocks stand still. */
  protected pause(reason: PauseReason = "client"): void {
    if (this.isOver || this.#isDraining !== null) return;
    this.#pausedBy.add(reason);
    this.clock.pause(performance.now());
    this.#call?.pause();
  }

  /** Reads on, when nothing else stands against it. */
  resume(reason: PauseReason = "client"): void {
    this.#pausedBy.delete(reason);
    if (this.#pausedBy.size === 0) this.#readOn();
  }

  #readOn(): void {
    this.clock.resume(performance.now());
    this.#call?.resume();
  }

  protected finish(result: AttemptResult): void {
    if (this.isOver) return;
    this.isOver = true;
    this.times.endedAt = performance.now();
    if (result.kind === "complete") this.#linger();
    else this.#leave();
    this.#resolve?.(result);
    this.#resolve = null;
  }

  #linger(): void {
    this.#lingerUntil = performance.now() + LINGER_MS;
    this.#call?.resume();
  }

  #leave(): void {
    this.#call?.abort();
    this.input.ticker.remove(this);
  }

  onSent(): void {
    const now = performance.now();
    this.times.sentAt = now;
    this.clock.sent(now);
  }

  onUnsent(): void {
    this.times.sentAt = null;
    this.clock.unsent(performance.now());
  }

  onHead(status: number, headers: AnswerHeaders): void {
    if (this.isOver) return;
    this.status = status;
    this.#headers = headers;
    this.times.firstByteAt = performance.now();
    const requestId = requestIdOf(headers, this.input.provider.requestIdHeaders);
    this.upstreamRequestId = requestId !== null && this.input.redactor.cleanText(requestId) === requestId ? requestId : null;
    if (status >= 300 && status < 400) return this.#failStatus(this.input.provider.failure(status, ""));
    const isPacked = (headers["content-encoding"] ?? "identity").toLowerCase() !== "identity";
    if (status < 200 || status >= 300) return isPacked ? this.#failStatus(this.input.provider.failure(status, "")) : this.collectError();
    if (isPacked) return this.fail("failed", "answered in a compressed encoding that was not asked for");
    this.onSuccess(headers);
  }

  /** A 2xx head. */
  protected abstract onSuccess(headers: AnswerHeaders): void;
  /** Body bytes of a success. */
  protected abstract onBody(bytes: Buffer, now: number): void;
  /** The clean end of a success's body. */
  protected abstract onBodyEnd(): void;
  /** A break after the head of a success: true when the subclass has told what it means. */
  protected abstract onBreak(code: ErrorCode, detail: string): void;
  /** The words for a wrong answer whose body was collected. */
  protected abstract describeWrong(status: number): string;

  /** The body is over, but what came last may not leave yet. */
  protected get isWaiting(): boolean {
    return false;
  }

  /** Reads a bounded rest of the body for its words, then fails. */
  protected collectError(): void {
    this.#errorBody = [];
    this.#errorSince = performance.now();
  }

  onData(bytes: Buffer): void {
    if (this.isOver) return;
    const now = performance.now();
    this.clock.byte(now);
    if (this.#isDraining !== null) {
      this.#isDraining.bytesLeft -= bytes.length;
      if (this.#isDraining.bytesLeft < 0) return this.cancel();
    }
    if (this.#errorBody === null) return this.onBody(bytes, now);
    this.#errorBody.push(bytes.subarray(0, ERROR_BODY_MAX - this.#errorBytes));
    this.#errorBytes += bytes.length;
    if (this.#errorBytes >= ERROR_BODY_MAX) this.#failCollected();
  }

  onEnd(): void {
    if (this.isOver) return this.#leave();
    if (this.#errorBody !== null) return this.#failCollected();
    this.onBodyEnd();
    if (this.isOver) return this.#leave();
    if (!this.isWaiting) throw new Error("an attempt that ended has no result");
  }

  onFailure(failure: DialFailure): void {
    if (this.isOver) return this.#leave();
    if (this.#errorBody !== null) return this.#failCollected();
    if (this.status !== null) return this.onBreak("upstream_truncated", `broke the connection (${failure.reason})`);
    const verb = failure.kind === "connect" ? "could not be reached" : "broke the connection before it answered";
    this.fail(failure.kind === "connect" ? "connect" : "failed", `${verb} (${failure.reason})`);
  }

  tick(now: number): void {
    if (this.#lingerUntil !== null) {
      if (now >= this.#lingerUntil) this.#leave();
      return;
    }
    if (this.#isDraining !== null && now >= this.#isDraining.until) return this.cancel();
    if (this.#errorBody !== null && now - this.#errorSince >= ERROR_BODY_MS) return this.#failCollected();
    const overdue = this.clock.overdue(now);
    if (overdue !== null) this.onOverdue(overdue);
  }

  protected onOverdue(overdue: Overdue): void {
    const detail = describeOverdue(overdue, this.input.upstream.timeouts);
    if (this.status === null) return this.fail("timeout", detail);
    this.onBreak(overdue === "total" ? "upstream_timeout" : "upstream_stalled", detail);
  }

  /** Over without content: the next upstream may try. */
  protected fail(kind: AttemptFailure["kind"], detail: string, more: Partial<AttemptFailure> = {}): void {
    const failure: AttemptFailure = {
      kind,
      upstream: this.input.upstream.name,
      status: this.status,
      detail,
      error: null,
      wasSent: this.times.sentAt !== null,
      retryAfterMs: retryAfterMs(this.#headers, Date.now()),
      ...more,
    };
    this.finish({ kind: "failed", failure });
  }

  #failStatus(failure: StatusFailure): void {
    const hasHint = failure.status === 503 && retryAfterMs(this.#headers, Date.now()) !== null;
    const error = this.input.redactor.cleanError(failure.error);
    this.fail(hasHint ? "throttled" : failure.kind, `answered ${failure.status}`, { error });
  }

  #failCollected(): void {
    const body = Buffer.concat(this.#errorBody ?? []).toString("utf8");
    const status = this.status ?? 0;
    const failure = this.input.provider.failure(status, body);
    if (status < 200 || status >= 300) return this.#failStatus(failure);
    this.fail("failed", this.describeWrong(status), { error: this.input.redactor.cleanError(failure.error) });
  }
}

function requestIdOf(headers: AnswerHeaders, names: readonly string[]): string | null {
  const id = names.map((name) => headers[name]).find((value) => value !== undefined);
  return id !== undefined && /^[\x21-\x7e]{1,128}$/.test(id) ? id : null;
}
