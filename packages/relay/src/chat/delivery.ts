/** The client's side of an answer: what an attempt may hand over, and what is known of what has left. */
import type { RelayError } from "./relay-error.ts";

export interface Delivery {
  /** Content left for the client: an error can no longer be a status, and no other upstream may begin the answer anew. */
  readonly isCommitted: boolean;
  /** Takes bytes of the answer. False when the client reads too slowly: wait for `onDrain`. @param now monotonic, milliseconds. */
  append(pieces: readonly Uint8Array[], now: number): boolean;
  /** The good end. @param rest what of a plain answer has not left yet. */
  end(rest: Buffer | null): void;
  /** Before anything left an HTTP error; later an error event (streams) and an abnormal end. */
  fail(error: RelayError): void;
  /** Cuts the connection without a word. */
  destroy(): void;
  /** Status that left or will leave; 499 when the client left before there was one. */
  readonly status: number;
  readonly bytesOut: number;
  /** When the first content of a stream left, in milliseconds of the monotonic clock; null before, and for plain answers. */
  readonly firstContentAt: number | null;
}

/** Of a streamed answer: events wait here until one of them has content. */
export interface StreamDelivery extends Delivery {
  /** Keeps events that are no content yet. False when there are too many. */
  hold(pieces: readonly Uint8Array[]): boolean;
  /** Forgets what a failed attempt left behind. */
  drop(): void;
}
