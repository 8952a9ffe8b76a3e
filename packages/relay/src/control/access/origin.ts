/** Whether a request with a cookie came from our own page. Browsers say so in `Sec-Fetch-Site` or `Origin`. */
import type { IncomingHttpHeaders } from "node:http";

const SAFE: ReadonlySet<string> = new Set(["GET", "HEAD"]);
const JSON_TYPE = /^application\/json\s*(?:;|$)/i;

/** Why a request by cookie goes no further, or null. */
export function crossSiteFault(method: string, headers: IncomingHttpHeaders): string | null {
  const site = headers["sec-fetch-site"];
  if (SAFE.has(method))
    return site === undefined || site === "same-origin" || site === "none" ? null : "A session is read by the relay's own page alone.";
  if (site === undefined ? !isOwnOrigin(headers) : site !== "same-origin") return "A session is used by the relay's own page alone.";
  return JSON_TYPE.test(headers["content-type"] ?? "") ? null : "With a session, send changes as Content-Type: application/json.";
}

/** Signing in needs no cookie, so programs may do it too; a page of another site may not. */
export function foreignPageFault(headers: IncomingHttpHeaders): string | null {
  const site = headers["sec-fetch-site"];
  const isForeign = site === undefined ? headers.origin !== undefined && !isOwnOrigin(headers) : site !== "same-origin";
  return isForeign ? "Only the relay's own page may sign in." : null;
}

/** The scheme is not compared: TLS may end in front of the relay. */
function isOwnOrigin({ origin, host }: IncomingHttpHeaders): boolean {
  const from = URL.parse(origin ?? "");
  return from !== null && /^https?:$/.test(from.protocol) && from.host === host?.toLowerCase();
}
