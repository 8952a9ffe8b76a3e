/** What the relay tells a client when there is no answer, or no more of one. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import type { UpstreamError } from "../provider/provider.ts";

/** An error for the caller, as a value. `edge/` turns it into a status and a body, or into an event. */
export interface RelayError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | null;
  /** Seconds for `Retry-After`. */
  readonly retryAfterS: number | null;
  /** The same in milliseconds, where the relay knows it that finely. */
  readonly retryAfterMs: number | null;
  /** `x-should-retry`, where a client's own rule would be wrong. */
  readonly shouldRetry: boolean | null;
  /** The limit that refused, where no other header tells of it. */
  readonly quota: Quota | null;
  /** A refusal of the upstream that is the caller's fault and passes with its own words. */
  readonly passed: { readonly status: number; readonly error: UpstreamError } | null;
}

/** What `x-ratelimit-*` says of one limit. */
interface Quota {
  readonly kind: "in-flight" | "budget";
  /** A count, or USD as decimal text. */
  readonly limit: string;
  readonly remaining: string;
  /** Null: never. */
  readonly resetMs: number | null;
}

export function relayError(code: ErrorCode, message: string, more: Partial<RelayError> = {}): RelayError {
  return { code, message, param: null, retryAfterS: null, retryAfterMs: null, shouldRetry: null, quota: null, passed: null, ...more };
}

/** The longest `Retry-After` that clients see, in seconds: SDKs sleep on a longer one, or give up. */
const RETRY_AFTER_S_MAX = 60;

export function clampRetryAfter(ms: number): number {
  return Math.min(RETRY_AFTER_S_MAX, Math.max(1, Math.ceil(ms / 1000)));
}
