/**
 * The closed set of error codes that a caller can see, each with the HTTP status that it leaves with before an answer has begun,
 * and its class in OpenAI's words. Both planes answer by this table; a code that may also appear inside a running stream is
 * listed in {@link STREAM_ERROR_CODES}.
 */
export const ERRORS = {
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
  upstream_timeout: { status: 504, type: "server_error" },
  upstream_truncated: { status: 502, type: "server_error" },
  upstream_stalled: { status: 504, type: "server_error" },
  store_unavailable: { status: 503, type: "server_error" },
  overloaded: { status: 503, type: "server_error" },
  no_upstream: { status: 503, type: "server_error" },
  relay_stopped: { status: 503, type: "server_error" },
  internal_error: { status: 500, type: "server_error" },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export const ERROR_CODES: readonly ErrorCode[] = Object.keys(ERRORS) as ErrorCode[];

/** Codes of the error event that ends a stream whose headers have left. */
export const STREAM_ERROR_CODES: readonly ErrorCode[] = [
  "invalid_request",
  "rate_limited",
  "too_many_in_flight",
  "upstream_failed",
  "upstream_redirect",
  "upstream_timeout",
  "upstream_truncated",
  "upstream_stalled",
  "overloaded",
  "store_unavailable",
  "insufficient_credits",
  "budget_exceeded",
  "key_revoked",
  "relay_stopped",
  "internal_error",
];

/** The error object of the OpenAI dialect, as a response body or as an event of a stream. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly request_id: string;
  };
}
