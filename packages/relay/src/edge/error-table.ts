/** An error as it leaves the data plane: status, body and headers. */
import { durationText } from "@millrace/wire/duration";
import { ERRORS } from "@millrace/wire/error-codes";
import type { ErrorBody } from "@millrace/wire/error-codes";
import type { RelayError } from "../chat/relay-error.ts";

/** Status of an error that leaves before the answer was opened. */
export function statusOf(error: RelayError): number {
  return error.passed?.status ?? ERRORS[error.code].status;
}

/** The error in OpenAI's shape. The upstream's own code stays where client code expects it. */
export function bodyOf(error: RelayError, requestId: string): ErrorBody {
  const passed = error.passed?.error;
  return {
    error: {
      message: error.message,
      type: passed?.type ?? ERRORS[error.code].type,
      param: error.param,
      code: passed?.code ?? error.code,
      request_id: requestId,
    },
  };
}

/** Headers that go with an error. */
export function headersOf(error: RelayError): Record<string, string> {
  const headers: Record<string, string> = {};
  if (error.retryAfterS !== null) {
    headers["retry-after"] = String(error.retryAfterS);
    headers["retry-after-ms"] = String(error.retryAfterMs ?? error.retryAfterS * 1000);
  }
  if (error.shouldRetry !== null) headers["x-should-retry"] = String(error.shouldRetry);
  if (error.quota === null) return headers;
  const { kind, limit, remaining, resetMs } = error.quota;
  headers[`x-ratelimit-limit-${kind}`] = limit;
  headers[`x-ratelimit-remaining-${kind}`] = remaining;
  if (resetMs !== null) headers[`x-ratelimit-reset-${kind}`] = durationText(resetMs);
  return headers;
}
