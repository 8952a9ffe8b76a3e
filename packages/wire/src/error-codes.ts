/**
 * The closed set of error codes that a caller can see. `edge/` turns each into a status and a sentence; a
 * code that may also appear inside a running stream is listed in {@link STREAM_ERROR_CODES}.
 */
export const ERROR_CODES = [
  "key_missing",
  "key_malformed",
  "key_invalid",
  "key_revoked",
  "key_expired",
  "insufficient_credits",
  "budget_exceeded",
  "idempotency_in_progress",
  "idempotency_mismatch",
  "stream_lost",
  "request_unknown",
  "account_suspended",
  "scope_not_allowed",
  "ip_not_allowed",
  "model_not_allowed",
  "role_not_allowed",
  "cross_site",
  "model_not_found",
  "route_unknown",
  "method_not_allowed",
  "unsupported_media_type",
  "misdirected_request",
  "invalid_json",
  "invalid_request",
  "body_too_deep",
  "body_timeout",
  "body_too_large",
  "rate_limited",
  "too_many_in_flight",
  "upstream_failed",
  "upstream_redirect",
  "upstream_timeout",
  "upstream_truncated",
  "upstream_stalled",
  "store_unavailable",
  "overloaded",
  "no_upstream",
  "relay_stopped",
  "internal_error",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Codes of the error event that ends a stream whose headers have left. */
export const STREAM_ERROR_CODES: readonly ErrorCode[] = [
  "invalid_request",
  "rate_limited",
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
];

/** OpenAI's own words for the class of an error (the `type` field). */
export type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "insufficient_quota"
  | "rate_limit_error"
  | "server_error";

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
