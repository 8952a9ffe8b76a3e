/** A client's own name for a request. If the client sends the request again, the relay does not run or charge it a second time. */
import type { IncomingMessage } from "node:http";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";

const KEY = /^[\x21-\x7e]{1,255}$/;

export type NamedRequest =
  | { readonly ok: true; readonly idempotencyKey: string | null }
  | { readonly ok: false; readonly error: RelayError };

/** Null if the client names none. */
export function readIdempotencyKey(request: IncomingMessage): NamedRequest {
  const given = request.headers["idempotency-key"];
  if (given === undefined) return { ok: true, idempotencyKey: null };
  if (typeof given === "string" && KEY.test(given)) return { ok: true, idempotencyKey: given };
  const message = "`Idempotency-Key` must be 1 to 255 visible ASCII characters, once.";
  return { ok: false, error: relayError("invalid_request", message, { param: "idempotency-key" }) };
}
