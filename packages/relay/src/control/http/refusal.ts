/** How the control plane says no: the same shape and codes as the data plane. */
import type { ErrorBody, ErrorCode, ErrorType } from "@millrace/wire/error-codes";

const STATUSES = {
  key_missing: 401,
  key_invalid: 401,
  role_not_allowed: 403,
  cross_site: 403,
  route_unknown: 404,
  method_not_allowed: 405,
  body_too_large: 413,
  unsupported_media_type: 415,
  misdirected_request: 421,
  rate_limited: 429,
  invalid_json: 400,
  invalid_request: 400,
  body_too_deep: 400,
  store_unavailable: 503,
} as const satisfies Partial<Record<ErrorCode, number>>;

type Status = (typeof STATUSES)[keyof typeof STATUSES];

const TYPES: Readonly<Partial<Record<Status, ErrorType>>> = {
  401: "authentication_error",
  403: "permission_error",
  429: "rate_limit_error",
  503: "server_error",
};

/** An error with its answer; thrown where a handler has to give up. */
export class Refusal extends Error {
  readonly code: keyof typeof STATUSES;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: keyof typeof STATUSES, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }

  get status(): Status {
    return STATUSES[this.code];
  }

  body(requestId: string): ErrorBody {
    const { code, message } = this;
    return { error: { message, type: TYPES[this.status] ?? "invalid_request_error", param: null, code, request_id: requestId } };
  }
}
