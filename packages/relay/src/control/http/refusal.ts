/** How the control plane says no: the same shape and codes as the data plane. */
import { ERRORS } from "@millrace/wire/error-codes";
import type { ErrorBody, ErrorCode } from "@millrace/wire/error-codes";

/** The codes that the control plane uses. */
type ControlErrorCode = Extract<
  ErrorCode,
  | "key_missing"
  | "key_invalid"
  | "role_not_allowed"
  | "cross_site"
  | "route_unknown"
  | "method_not_allowed"
  | "body_too_large"
  | "unsupported_media_type"
  | "misdirected_request"
  | "rate_limited"
  | "invalid_json"
  | "invalid_request"
  | "body_too_deep"
  | "store_unavailable"
>;

/** An error together with its answer. A handler throws it when it cannot go on. */
export class Refusal extends Error {
  readonly code: ControlErrorCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly #more: object;

  /** @param more members of the error beside those that every error has. */
  constructor(code: ControlErrorCode, message: string, headers: Readonly<Record<string, string>> = {}, more: object = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
    this.#more = more;
  }

  get status(): (typeof ERRORS)[ControlErrorCode]["status"] {
    return ERRORS[this.code].status;
  }

  body(requestId: string): ErrorBody {
    const { code, message } = this;
    return { error: { message, type: ERRORS[code].type, param: null, code, request_id: requestId, ...this.#more } };
  }
}
