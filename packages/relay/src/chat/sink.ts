/** Where an answer goes. `edge/` implements it on an HTTP response; the hot path knows no more of HTTP than this. */
import type { RelayError } from "./relay-error.ts";

export interface AnswerHead {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Sink {
  /** The client left before the answer was over. */
  readonly isGone: boolean;
  /** Status 200 and headers leave with the first bytes, or at once. */
  open(head: AnswerHead): void;
  readonly isOpen: boolean;
  /** Status that left or will leave; 499 when the client left before there was one. */
  readonly status: number;
  /** False when the client reads too slowly: wait for `onDrain`. */
  write(bytes: Uint8Array): boolean;
  /** Bytes written but not yet taken by the client's socket. */
  readonly waitingBytes: number;
  readonly bytesOut: number;
  /** The good end. */
  end(bytes?: Uint8Array): void;
  /** Before `open` an HTTP error; after it an error event (streams) and an abnormal end. */
  fail(error: RelayError): void;
  /** Cuts the connection without a word. */
  destroy(): void;
  /** Called at most once when the client leaves early. */
  onGone(listener: () => void): void;
  onDrain(listener: () => void): void;
}
