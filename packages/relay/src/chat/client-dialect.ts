/** How the relay spells an answer for a client. The endpoint that a request came to chooses it; `edge/` has the dialects. */
import type { RelayError } from "./relay-error.ts";

export interface ClientDialect {
  /** Content type of a stream. */
  readonly streamType: string;
  /** Content type of a plain answer. */
  readonly plainType: string;
  /** The last frame of a whole stream. */
  readonly done: Uint8Array;
  /** Fills silence: every reader of the dialect skips it. */
  readonly keepAlive: Uint8Array;
  /** The body of an error answer, as JSON text. */
  errorBody(error: RelayError, requestId: string): string;
  /** The same within a stream that has begun. */
  errorFrame(error: RelayError, requestId: string): string;
}
