/** The one table that turns an error code into a status, OpenAI's type and a body. */
import type { ErrorBody, ErrorCode, ErrorType } from "@millrace/wire/error-codes";
import type { RelayError } from "../chat/relay-error.ts";
import { durationText } from "./rate-limit.ts";

interface Meaning {
  readonly status: number;
  readonly type: ErrorType;
}

const MEANINGS: Readonly<Record<ErrorCode, Meaning>> = {
  key_missing: { status: 401, type: "authentication_error" },
  key_malformed: { status: 401, type: "authentication_error" },
  key_invalid: { status: 401, type: "authentication_error" },
  key_revoked: { status: 401, type: "authentication_error" },
  key_expired: { status: 401, type: "authentication_error" },
  insufficient_credits: { status: 402, type: "insufficient_quota" },
  budget_exceeded: { status: 429, type: "insufficient_quota" },
  idempotency_in_progress: { status: 409, type: "invalid_request_error" },
  idempotency_mismatch: { status: 422, type: "invalid_request_error" },
  stream_lost: { status: 410, type: "invalid_request_error" },
  request_unknown: { status: 404, type: "invalid_request_error" },
  account_suspended: { status: 403, type: "permission_error" },
  scope_not_allowed: { status: 403, type: "permission_error" },
  ip_not_allowed: { status: 403, type: "permission_error" },
  model_not_allowed: { status: 403, type: "permission_error" },
  role_not_allowed: { status: 403, type: "permission_error" },
  cross_site: { status: 403, type: "permission_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  route_unknown: { status: 404, type: "invalid_request_error" },
  method_not_allowed: { status: 405, type: "invalid_request_error" },
  unsupported_media_type: { status: 415, type: "invalid_request_error" },
  misdirected_request: { status: 421, type: "invalid_request_error" },
  invalid_json: { status: 400, type: "invalid_request_error" },
  invalid_request: { status: 400, type: "invalid_request_error" },
  body_too_deep: { status: 400, type: "invalid_request_error" },
  body_timeout: { status: 408, type: "invalid_request_error" },
  body_too_large: { status: 413, type: "invalid_request_error" },
  rate_limited: { status: 429, type: "rate_limit_error" },
  too_many_in_flight: { status: 429, type: "rate_limit_error" },
  upstream_failed: { status: 502, type: "server_error" },
  upstream_redirect: { status: 502, type: "server_error" },
  upstream_truncated: { status: 502, type: "server_error" },
  upstream_timeout: { status: 504, type: "server_error" },
  upstream_stalled: { status: 504, type: "server_error" },
  store_unavailable: { status: 503, type: "server_error" },
  overloaded: { status: 503, type: "server_error" },
  no_upstream: { status: 503, type: "server_error" },
  relay_stopped: { status: 503, type: "server_error" },
  internal_error: { status: 500, type: "server_error" },
};

/** Status of an error that leaves before the answer was opened. */
export function statusOf(error: RelayError): number {
  return error.passed?.status ?? MEANINGS[error.code].status;
}

/** The error in OpenAI's shape. Codes of the upstream stay where a client's own code asks for them. */
export function bodyOf(error: RelayError, requestId: string): ErrorBody {
  const passed = error.passed?.error;
  return {
    error: {
      message: error.message,
      type: passed?.type ?? MEANINGS[error.code].type,
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
