/** The port through which an attempt reaches its upstream. `undici-dialer.ts` is the adapter that the relay ships with. */

export interface UpstreamCall {
  readonly method: "GET" | "POST";
  /** Scheme, host and port. */
  readonly origin: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | null;
}

/** Headers of an answer by their names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | undefined>>;

/** Why a call ended without an answer, or within one. */
export interface DialFailure {
  /** `connect`: no connection, nothing was sent. `transport`: the connection broke or spoke no HTTP. */
  readonly kind: "connect" | "transport";
  /** A machine's word such as `ECONNREFUSED`; never a text that could hold a secret. */
  readonly reason: string;
}

/**
 * What a dialer tells of a call, in this order: onRequestStart, onResponseStart, onResponseData..., then exactly one of
 * onResponseEnd and onResponseError; nothing after `abort`. A handler must not throw: a dialer may take that for the upstream's fault.
 */
export interface AnswerHandler {
  /** The request is on its way over a live connection. */
  onRequestStart(): void;
  /** That connection was dead. The dialer sets up another one, and `onRequestStart` will come again. */
  onRequestReset(): void;
  onResponseStart(status: number, headers: AnswerHeaders): void;
  onResponseData(bytes: Buffer): void;
  onResponseEnd(): void;
  onResponseError(failure: DialFailure): void;
}

export interface Call {
  pause(): void;
  resume(): void;
  /** Ends the call and its connection at once. */
  abort(): void;
}

export interface Dialer {
  dial(call: UpstreamCall, handler: AnswerHandler): Call;
  /** Closes idle connections; running calls end by their own `abort`. */
  close(): Promise<void>;
}
