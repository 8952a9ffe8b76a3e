/** Everything that the simulator can do wrong on purpose. `kind` is also the name in a text spec. */

/** How an error looks inside a stream. */
export type ErrorEventShape = "openai" | "string" | "vllm" | "openrouter" | "named";

/** How the body of an error status looks. */
export type ErrorBodyShape = "openai" | "deepseek" | "detail" | "text" | "html" | "empty";

/** Faults without a value of their own. */
export type PlainFaultKind =
  /** The connection is reset at accept; asked for by a script (too late for that), when its request arrives. */
  | "refuse"
  /** The request is read, never a byte comes back. */
  | "hang"
  /** Headers are sent, never an event. */
  | "hang-headers"
  /** Bytes that are not HTTP. */
  | "garbage"
  /** One line that never ends, as fast as the client reads it. */
  | "endless-line"
  /** Good events that never end, at the scenario's rate. */
  | "endless-stream"
  /** A good answer, compressed although nobody asked. */
  | "gzip"
  /** A plain answer to a request that asked for a stream. */
  | "json-instead-of-stream"
  /** 200 with an empty body. */
  | "blank"
  | "comments-only"
  | "role-only"
  | "done-only"
  /** A plain answer of blank lines and nothing else. */
  | "blank-lines-only"
  | "no-done"
  | "no-finish"
  /** Headers ended by bare line feeds. */
  | "bare-lf"
  /** Content-Length and Transfer-Encoding together. */
  | "cl-and-te"
  /** 101 Switching Protocols that nobody asked for. */
  | "101"
  /** 103 Early Hints, then the good answer. */
  | "early-hints"
  /** 100 Continue and 103, then the good answer. */
  | "100-then-103"
  /** The chunks as lines of JSON, without `data:`. */
  | "ndjson"
  /** Several JSON documents in one body. */
  | "multi-json-body"
  /** An event after `[DONE]`. */
  | "after-done"
  /** An event whose data is the empty string, after the first one. */
  | "empty-data"
  /** `id` and `model` change in the middle of the stream. */
  | "id-change"
  /** A text delta with bytes that are not UTF-8. */
  | "bad-utf8";

export type Fault =
  | { readonly kind: PlainFaultKind }
  | {
      readonly kind: "status";
      readonly status: number;
      readonly retryAfterMs?: number;
      readonly shape?: ErrorBodyShape;
    }
  /** Nothing more after this many events; the connection stays open. */
  | { readonly kind: "stall"; readonly events: number }
  /** FIN after this many body bytes; the body has no end. */
  | { readonly kind: "cut"; readonly bytes: number }
  /** RST after this many body bytes. */
  | { readonly kind: "rst"; readonly bytes: number }
  /** Content-Length is larger than the body by this many bytes (default 100); then FIN. */
  | { readonly kind: "short-length"; readonly missingBytes?: number }
  /** A body that only the end of the connection ends; with `cutAtBytes` it ends early and still looks whole. */
  | { readonly kind: "close-delimited"; readonly cutAtBytes?: number }
  /** An event of broken JSON after this many good events. */
  | { readonly kind: "garbage-event"; readonly afterEvents: number }
  | { readonly kind: "redirect"; readonly status: number; readonly location: string }
  /** A small compressed body that inflates to this many bytes (default 100 MB). */
  | { readonly kind: "gzip-bomb"; readonly inflatedBytes?: number }
  /**
   * Request headers, the key included, come back in headers, Location, trailers and the text (200), in an
   * error body (another status), or in an error event (`inEvent`).
   */
  | { readonly kind: "echo"; readonly status?: number; readonly inEvent?: boolean }
  /** The body one byte at a time. */
  | { readonly kind: "drip"; readonly everyMs: number }
  | { readonly kind: "error-event"; readonly afterEvents: number; readonly shape?: ErrorEventShape }
  | { readonly kind: "error-first"; readonly shape?: ErrorEventShape }
  /** HTTP 200 with an error object as its JSON body. */
  | { readonly kind: "error-200"; readonly shape?: "openai" | "string" }
  /** An HTML page; with a value the good body under that content type. */
  | { readonly kind: "wrong-type"; readonly contentType?: string }
  /** A response header of this many bytes (default 40 KB). */
  | { readonly kind: "big-header"; readonly bytes?: number }
  /** A forged response after the good one: in the same tick, or 50 ms later while the connection is idle. */
  | { readonly kind: "extra-bytes"; readonly when: "same-tick" | "idle" }
  /** The kept-alive connection is closed right after the answer, or when the next request arrives on it. */
  | { readonly kind: "close-idle"; readonly when: "after" | "reuse" }
  /** At least this many HTTP chunks of one byte each (default 20,000). */
  | { readonly kind: "tiny-chunks"; readonly count?: number }
  /** The body ends only this many milliseconds after `[DONE]`. */
  | { readonly kind: "linger"; readonly ms: number };

export type FaultKind = Fault["kind"];

/** The member of {@link Fault} with the kind `K`. */
export type FaultOf<K extends FaultKind> = Extract<Fault, { readonly kind: K }>;

/** A fault and the share of requests (connections, for `refuse`) that meet it, from 0 to 1. */
export interface FaultRule {
  readonly fault: Fault;
  readonly share: number;
}
