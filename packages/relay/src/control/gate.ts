/** What stands before every route of the control plane: host, owner, and the table of what there is. Denies by default. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { sha256 } from "../admission/token.ts";
import { Refusal } from "./refusal.ts";

export interface GateParts {
  readonly adminToken: string | null;
  /** The relay listens on loopback: only loopback names may stand in `Host`, so that no web page can reach it by a name of its own. */
  readonly isLoopback: boolean;
}

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;

/** Every route, for the owner. What is not named here does not reach a handler. */
const ROUTES: readonly (readonly [path: RegExp, methods: readonly string[]])[] = [
  [/^\/admin\/api\/keys$/, ["GET", "POST"]],
  [/^\/admin\/api\/keys\/\w{1,64}$/, ["GET", "PATCH", "DELETE"]],
  [/^\/admin\/api\/keys\/\w{1,64}\/rotate$/, ["POST"]],
  [/^\/admin\/api\/accounts$/, ["GET", "POST"]],
  [/^\/admin\/api\/accounts\/\w{1,64}$/, ["GET", "PATCH"]],
  [/^\/admin\/api\/accounts\/\w{1,64}\/balance$/, ["GET"]],
  [/^\/admin\/api\/accounts\/\w{1,64}\/credits$/, ["POST"]],
];

/** Why a request goes no further, or null. Reads nothing but the head. */
export function refusalOf(request: IncomingMessage, parts: GateParts): Refusal | null {
  const { host, authorization } = request.headers;
  if (parts.isLoopback && !LOOPBACK_HOST.test(host ?? ""))
    return new Refusal("misdirected_request", "This address is served under loopback names only.");
  if (!isOwner(authorization, parts.adminToken)) {
    const hint =
      parts.adminToken === null
        ? "Start the relay with MILLRACE_ADMIN_TOKEN to use the control API."
        : "Send the owner's token as `Authorization: Bearer mra_...`.";
    return new Refusal(authorization === undefined ? "key_missing" : "key_invalid", hint, { "www-authenticate": "Bearer" });
  }
  const path = /^[^?]*/.exec(request.url ?? "")?.[0] ?? "";
  const methods = ROUTES.find(([pattern]) => pattern.test(path))?.[1];
  if (methods === undefined) return new Refusal("route_unknown", "There is nothing at this address.");
  const allow = methods.join(", ");
  if (!methods.includes(request.method ?? "")) return new Refusal("method_not_allowed", `This address takes ${allow}.`, { allow });
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    return new Refusal("unsupported_media_type", "Encoded request bodies are not accepted.");
  return null;
}

function isOwner(header: string | undefined, token: string | null): boolean {
  if (header === undefined || token === null) return false;
  const given = /^Bearer\s+(\S+)\s*$/i.exec(header)?.[1];
  return given !== undefined && timingSafeEqual(sha256(given), sha256(token));
}
