/** A provider is a dialect: pure functions and a table of what it can do. It performs no I/O. */
import type { JsonMember } from "@millrace/wire/json-scan";

/** Counts the relays on the way, so that an upstream that points back to one of them is noticed. */
export const HOPS_HEADER = "x-millrace-hops";

/** The endpoints whose requests are passed on. */
export type Endpoint = "chat" | "completions" | "embeddings";

/** A client's request, still as bytes: only its top-level members are known by place. */
export interface ClientRequest {
  readonly endpoint: Endpoint;
  readonly body: Uint8Array;
  readonly members: readonly JsonMember[];
  /** The public model name. */
  readonly model: string;
  readonly isStream: boolean;
  /** The client asked for the usage chunk itself. */
  readonly wantsUsage: boolean;
  /** Choices that the answer will have, over all prompts. */
  readonly choices: number;
  /** Number of answers that the upstream may make, and bill, for them. */
  readonly answersMax: number;
  /** The larger one of `max_completion_tokens` and `max_tokens`; null if the client says neither. */
  readonly outputTokensMax: number | null;
  /** Relays of this kind that the request has passed through, this one included. */
  readonly hops: number;
}

/** What the encoder must know of the upstream. */
export interface EncodeTarget {
  readonly model: string;
  readonly apiKey: string | null;
  /** The upstream takes `stream_options.include_usage`. */
  readonly usageInStream: boolean;
}

/** An HTTP request as data; the dialer adds the address. */
export interface WireRequest {
  readonly path: string;
  readonly headers: readonly string[];
  readonly body: Uint8Array;
  /** The model name that was put into the body. */
  readonly model: string;
  /** We asked for the usage chunk although the client did not. */
  readonly askedForUsage: boolean;
}

/** Tokens as an upstream reported them. `input` and `output` include the parts named beside them. */
export interface Usage {
  readonly input: number;
  readonly cachedInput: number;
  readonly cacheWrite: number;
  readonly output: number;
  readonly reasoning: number;
}

/** What one event of a stream means; the event's bytes travel beside it. */
export interface EventFacts {
  /** The upstream's own error, in-band. */
  readonly error: UpstreamError | null;
  /** Whether a reader would miss this event if it were lost. A role alone is not content. */
  readonly hasContent: boolean;
  /** Text increments, for the estimate if usage never comes. */
  readonly text: string;
  /** Index and reason of every choice that finished with this event. */
  readonly finished: readonly FinishedChoice[];
  /** Indexes of the choices that this event speaks of. */
  readonly choices: readonly number[];
  readonly usage: Usage | null;
  /** Nothing but usage: the extra chunk that `include_usage` causes. */
  readonly isUsageOnly: boolean;
}

export interface FinishedChoice {
  readonly index: number;
  readonly reason: string;
}

/** An upstream's words, in whatever envelope they came. They may hold secrets until they are redacted. */
export interface UpstreamError {
  readonly message: string;
  readonly type: string | null;
  readonly code: string | null;
  readonly param: string | null;
}

/**
 * How an attempt failed before content, which decides what the relay does next.
 * - `caller`: the request itself is at fault; the relay passes the answer to the client and tries nothing else.
 * - `throttled`: the upstream asks for patience. - `credential`: the upstream refuses our secret or our account there.
 * - the others: the relay tries the next upstream.
 */
export type FailureKind = "caller" | "throttled" | "credential" | "model" | "redirect" | "timeout" | "connect" | "failed";

/** What an upstream's status and body say. */
export interface StatusFailure {
  readonly kind: FailureKind;
  readonly status: number;
  readonly error: UpstreamError;
}

export interface Provider {
  readonly name: string;
  /** Keys of an event whose string value is its text and decides nothing else. */
  readonly textKeys: readonly string[];
  /** Headers of an answer that may hold the upstream's own request id, the likeliest first. */
  readonly requestIdHeaders: readonly string[];
  /** Makes the request for one upstream. Unknown fields ride along byte for byte. */
  encode(request: ClientRequest, target: EncodeTarget): WireRequest;
  /** Reads one parsed event of a stream. */
  read(event: unknown): EventFacts;
  /** Reads a parsed plain answer. */
  readPlain(body: unknown): EventFacts;
  /** Reads an answer whose status is not 2xx. */
  failure(status: number, body: string): StatusFailure;
}
