/** What became of a request, from all that is known when it is over: a pure and total function, tested over every combination. */
import type { ErrorCode } from "@millrace/wire/error-codes";
import type { EndReason, Mark } from "../insight/row.ts";
import type { AttemptReport } from "./attempt.ts";
import { errorOf } from "./attempt-failure.ts";
import type { AttemptFailure } from "./attempt-failure.ts";
import type { AttemptOutcome } from "./body-reader.ts";
import type { CancellationCause } from "./cancellation.ts";
import { relayError } from "./relay-error.ts";
import type { RelayError } from "./relay-error.ts";

/**
 * What the charge is based on. `upstream`: its usage, or our estimate if it sent none. `delivery`: our count of what reached the
 * client. `none`: nothing is charged.
 */
export type ChargeBasis = "upstream" | "delivery" | "none";

export interface Conclusion {
  readonly endReason: EndReason;
  readonly errorCode: ErrorCode | null;
  /** What the client is told; null when its answer is whole, or when it left. */
  readonly clientError: RelayError | null;
  readonly marks: readonly Mark[];
  readonly basis: ChargeBasis;
}

/** What a conclusion is drawn from. */
export interface Facts {
  readonly isStream: boolean;
  /** In order; a retry has a report of its own. */
  readonly reports: readonly Pick<AttemptReport, "planned" | "outcome" | "times" | "meter">[];
  /** Why the answer had to end, or null. */
  readonly cause: CancellationCause | null;
  /** The relay itself ended the answer, be it after the client had left. */
  readonly isEndedByRelay: boolean;
  /** Why no attempt was made, or null. */
  readonly refusal: RelayError | null;
}

/** A mistake of the relay's own decides first; then a refusal; then the first cause of an end; then the last attempt. */
export function conclude(facts: Facts): Conclusion {
  const basis = basisOf(facts);
  const { cause, refusal, reports } = facts;
  if (refusal !== null && cause?.by !== "bug") return { ...endOfRefusal(refusal, null), marks: [], basis };
  if (cause !== null) return { ...endOfCause(cause), marks: [], basis };
  const outcome = reports.at(-1)?.outcome;
  if (outcome === undefined || outcome.kind === "cancelled")
    return { ...endOfCause({ by: "bug", error: internalError() }), marks: [], basis };
  return { ...endOfOutcome(outcome, reports), basis };
}

type End = Pick<Conclusion, "endReason" | "errorCode" | "clientError">;

function endOfCause(cause: CancellationCause): End {
  if (cause.by === "client") return { endReason: "client_gone", errorCode: null, clientError: null };
  return { endReason: endOfRelayError(cause.error.code), errorCode: cause.error.code, clientError: cause.error };
}

/** The end of an answer that the relay itself ended. */
function endOfRelayError(code: ErrorCode): EndReason {
  switch (code) {
    case "key_revoked":
    case "insufficient_credits":
    case "store_unavailable":
    case "internal_error":
      return code;
    case "budget_exceeded":
      return "insufficient_credits";
    default:
      return "relay_stopped";
  }
}

function endOfOutcome(outcome: Exclude<AttemptOutcome, { kind: "cancelled" }>, reports: Facts["reports"]): Omit<Conclusion, "basis"> {
  switch (outcome.kind) {
    case "complete": {
      const finishReason = reports.at(-1)?.meter.finishReason ?? null;
      return { endReason: endOfFinish(finishReason), errorCode: null, clientError: null, marks: outcome.marks };
    }
    case "broken": {
      const clientError = relayError(outcome.code, `The upstream ${outcome.detail}; the answer above is not whole.`);
      return { endReason: endOfBroken(outcome.code), errorCode: outcome.code, clientError, marks: [] };
    }
    case "failed":
      return { ...endOfRefusal(errorOf(lastFailures(reports)), outcome.failure), marks: [] };
  }
}

/** What of each upstream failed last: a retry stands for the tries before it. */
function lastFailures(reports: Facts["reports"]): AttemptFailure[] {
  const last = reports.filter(({ planned }, at) => reports[at + 1]?.planned !== planned);
  return last.flatMap(({ outcome }) => (outcome.kind === "failed" ? [outcome.failure] : []));
}

function endOfRefusal(error: RelayError, failure: AttemptFailure | null): End {
  const errorCode = error.passed === null ? error.code : "invalid_request";
  const isRefused = failure === null || error.passed !== null || error.code === "rate_limited";
  const endReason = isRefused ? "refused" : error.code === "upstream_timeout" ? "upstream_timeout" : "upstream_failed";
  return { endReason, errorCode, clientError: error };
}

function endOfFinish(reason: string | null): EndReason {
  if (reason === "length" || reason === "content_filter") return reason;
  return reason === "tool_calls" || reason === "function_call" ? "tool_calls" : "complete";
}

function endOfBroken(code: ErrorCode): EndReason {
  if (code === "upstream_truncated" || code === "upstream_stalled" || code === "upstream_timeout") return code;
  return "upstream_failed";
}

/** If the relay ended the answer, only what was delivered is charged, and for an upstream that did no work nothing is. */
function basisOf({ isStream, reports, isEndedByRelay }: Facts): ChargeBasis {
  const last = reports.at(-1);
  if (last === undefined) return "none";
  if (isEndedByRelay) return isStream && last.meter.output > 0 ? "delivery" : "none";
  return wasWorkedOn(last) || last.meter.usage !== null ? "upstream" : "none";
}

/** The upstream had the request, and neither refused it nor broke off before any output. */
function wasWorkedOn({ outcome, times, meter }: Facts["reports"][number]): boolean {
  const isInVain = outcome.kind === "failed" || (outcome.kind === "broken" && meter.output === 0);
  return !isInVain && times.sentAt !== null;
}

/** The words for a mistake of the relay's own. */
export function internalError(): RelayError {
  return relayError("internal_error", "The relay made a mistake; it is in its log under this request id.");
}
