/** How the control plane says no: the same shape and codes as the data plane. */
import type { ErrorBody, ErrorCode } from "@millrace/wire/error-codes";

const STATUSES = {
  key_missing: 401,
  key_invalid: 401,
  route_unknown: 404,
  method_not_allowed: 405,
  body_too_large: 413,
  unsupported_media_type: 415,
  misdirected_request: 421,
  invalid_json: 400,
  invalid_request: 400,
  body_too_deep: 400,
  store_unavailable: 503,
} as const satisfies Partial<Record<ErrorCode, number>>;

/** An error with its answer; thrown where a handler has to give up. */
export class Refusal extends Error {
  readonly code: keyof typeof STATUSES;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: keyof typeof STATUSES, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }

  get status(): number {
    return STATUSES[this.code];
  }

  body(requestId: string): ErrorBody {
    const { code, message } = this;
    const type = this.status === 401 ? "authentication_error" : this.status < 500 ? "invalid_request_error" : "server_error";
    return { error: { message, type, param: null, code, request_id: requestId } };
  }
}
