/** How attempts fail, and which error a caller gets when all of them did. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import type { FailureKind, UpstreamError } from "../provider/provider.ts";

/** An error for the caller, as a value. `edge/` turns it into a status and a body, or into an event. */
export interface RelayError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | null;
  /** Seconds for `Retry-After`. */
  readonly retryAfterS: number | null;
  /** The same in milliseconds, where it is known so finely. */
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

/** Why one attempt gave no answer. */
export interface AttemptFailure {
  readonly kind: FailureKind;
  readonly upstream: string;
  /** Status of the upstream's answer, if there was one. */
  readonly status: number | null;
  /** One clause without secrets: "answered 503", "refused the connection (ECONNREFUSED)". */
  readonly detail: string;
  readonly error: UpstreamError | null;
  /** The request body had left for this upstream. */
  readonly wasSent: boolean;
  /** Milliseconds the upstream asked us to wait. */
  readonly retryAfterMs: number | null;
}

/** `Retry-After` that clients may see: SDKs sleep on a long one, or give up. */
const RETRY_AFTER_S_MAX = 60;

export function clampRetryAfter(ms: number): number {
  return Math.min(RETRY_AFTER_S_MAX, Math.max(1, Math.ceil(ms / 1000)));
}

/** The caller's error after every attempt failed. `failures` is not empty. */
export function errorOf(failures: readonly AttemptFailure[]): RelayError {
  const last = failures.at(-1);
  if (last === undefined) return relayError("no_upstream", "No upstream was tried.");
  if (last.kind === "caller") return passedOn(last);
  if (failures.every((failure) => failure.kind === "throttled")) {
    const waits = failures.map((failure) => failure.retryAfterMs ?? 1_000);
    return relayError("rate_limited", "Every upstream of this model asks for patience.", {
      retryAfterS: clampRetryAfter(Math.min(...waits)),
    });
  }
  const tried = failures.map((failure) => `${failure.upstream} ${failure.detail}`).join("; ");
  // An upstream that had the request may still be working on it, and charge for it: a retry would pay twice.
  const mayCostTwice = failures.some((failure) => failure.wasSent) ? { shouldRetry: false } : {};
  if (last.kind === "timeout") return relayError("upstream_timeout", `No answer in time: ${tried}.`, mayCostTwice);
  if (last.kind === "redirect") return relayError("upstream_redirect", `Redirects are not followed: ${tried}.`, { shouldRetry: false });
  const isHopeless = failures.every((failure) => failure.kind === "credential" || failure.kind === "model" || failure.status === 403);
  return relayError("upstream_failed", `No upstream gave an answer: ${tried}.`, isHopeless ? { shouldRetry: false } : {});
}

function passedOn(failure: AttemptFailure): RelayError {
  const error = failure.error ?? { message: failure.detail, type: null, code: null, param: null };
  return relayError("invalid_request", error.message, { param: error.param, passed: { status: failure.status ?? 400, error } });
}
