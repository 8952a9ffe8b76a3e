/** What an upstream did instead of answering, and what a client is told when every one of them did. */
import type { FailureKind, UpstreamError } from "../provider/provider.ts";
import { clampRetryAfter, relayError } from "./relay-error.ts";
import type { RelayError } from "./relay-error.ts";

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
  /** Milliseconds that the upstream asked the relay to wait. */
  readonly retryAfterMs: number | null;
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
