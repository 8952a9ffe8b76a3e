/** Reads a request's head strictly: it refuses what Node's parser accepts and a relay must not pass on. */
import type { IncomingMessage } from "node:http";
import { HOPS_HEADER } from "../provider/provider.ts";

export type Target =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly code: "invalid_request" | "route_unknown"; readonly message: string };

/** One hop of a relay chain adds one; a request that went round is refused. */
const HOPS_MAX = 8;

const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const PATH = /^\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$/;

/** The path of a well-formed request, without its query. */
export function readTarget(request: IncomingMessage): Target {
  const fault = headFault(request);
  if (fault !== null) return { ok: false, code: "invalid_request", message: fault };
  const target = request.url ?? "";
  if (!target.startsWith("/")) return { ok: false, code: "invalid_request", message: "The request target must be a path." };
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  if (!isPlainPath(path)) return { ok: false, code: "route_unknown", message: "There is nothing at this address." };
  return { ok: true, path };
}

/** Relays that the request has passed through, this one included. */
export function hopsOf(request: IncomingMessage): number {
  const before = request.headers[HOPS_HEADER];
  return typeof before === "string" && /^\d{1,4}$/.test(before) ? Number(before) + 1 : 1;
}

/** No empty, dot or encoded-dot segments, no encoded slashes or NULs, nothing that two readers could read in two ways. */
function isPlainPath(path: string): boolean {
  if (!PATH.test(path) || path.includes("//")) return false;
  // SDKs encode the slash of a model's name. The relay decodes it once, after routing, and uses it only as a name.
  const routed = path.replace(/(?<=^(?:\/v1)?\/models\/.*)%2f/gi, "_");
  if (/%(?:00|2e|2f|5c|25)/i.test(routed)) return false;
  return !path.split("/").some((segment) => segment === "." || segment === "..");
}

function headFault(request: IncomingMessage): string | null {
  const names = countNames(request.rawHeaders);
  for (const name of ["host", "authorization", "content-length", "content-type"]) {
    if ((names.get(name) ?? 0) > 1) return `The header ${name} may occur only once.`;
  }
  const host = request.headers.host;
  if (host === undefined && request.httpVersion === "1.1") return "HTTP/1.1 needs a Host header.";
  if (host !== undefined && host !== "" && !HOST.test(host)) return "The Host header is not a host and port.";
  if (request.httpVersion !== "1.1" && request.httpVersion !== "1.0") return "Speak HTTP/1.1.";
  if (request.httpVersion === "1.0" && request.headers["transfer-encoding"] !== undefined) return "HTTP/1.0 has no transfer encodings.";
  if (hopsOf(request) > HOPS_MAX) return "This request has passed through too many relays: an upstream points back to one of them.";
  return null;
}

function countNames(raw: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
