/** Reads the body of a success for an attempt: the port between the transport of a call and the meaning of its bytes. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import type { Mark } from "../insight/row.ts";
import type { UpstreamError } from "../provider/provider.ts";
import type { AnswerHeaders } from "../upstream/dialer.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import type { Meter } from "./meter.ts";

/** How an attempt was over. */
export type AttemptOutcome =
  /** Nothing that matters reached the client: another upstream may try. */
  | { readonly kind: "failed"; readonly failure: AttemptFailure }
  /** The answer is whole. `rest` is what of a plain answer has not left yet; a stream's last frame is the client dialect's. */
  | { readonly kind: "complete"; readonly marks: readonly Mark[]; readonly rest: Buffer | null }
  /** Content was sent and then something broke. */
  | { readonly kind: "broken"; readonly code: ErrorCode; readonly detail: string; readonly note: string | null }
  /** The answer had to end: the client left, or the relay ended it. */
  | { readonly kind: "cancelled" };

/** Why reading is paused: the client is slow, or money for more is not set aside yet. */
export type PauseReason = "client" | "credit";

/** What a reader sees of its attempt, and asks of it. */
export interface ReaderHost {
  /** The attempt has its outcome; nothing that is read counts any more. */
  readonly isOver: boolean;
  /** The client has left, and the answer is read on for its usage. */
  readonly isDraining: boolean;
  /** A data event was read. @param now milliseconds of the monotonic clock. */
  onEvent(now: number): void;
  /** Stops reading until `resume` with the same reason; the attempt's clocks stand still. */
  pause(reason: PauseReason): void;
  resume(reason: PauseReason): void;
  finish(outcome: AttemptOutcome): void;
  /** Over without content: the next upstream may try. */
  fail(kind: AttemptFailure["kind"], detail: string, error: UpstreamError | null): void;
}

export interface BodyReader {
  readonly meter: Meter;
  /** False when a success with these headers cannot be an answer; the attempt then reads the body for an error's words. */
  accepts(headers: AnswerHeaders): boolean;
  /** What such a success lacks, for the attempt's failure: "an event stream". */
  readonly expected: string;
  /** Takes bytes of the body. @param now milliseconds of the monotonic clock. */
  push(bytes: Buffer, now: number): void;
  /** The body ended cleanly. After it the attempt has an outcome, or `isWaiting`. */
  end(): void;
  /** The body is over, but what came last may not leave before money is set aside for it. */
  readonly isWaiting: boolean;
  /** The body broke off, or took too long. @param detail a clause that says what the upstream did. */
  cut(code: ErrorCode, detail: string): void;
  /** More of what was read may leave than before: credit came, or nobody waits for it any more. */
  onCovered(): void;
}
