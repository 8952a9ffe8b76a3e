import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";

/** The request's headers as one text, the key included: what a careless upstream puts into its answer. */
export function echoText(headers: IncomingHttpHeaders): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join("; ");
}

/** Response headers that give the request's headers back; trailers can only be announced for a chunked body. */
export function echoHeaders(headers: IncomingHttpHeaders, hasTrailers: boolean): OutgoingHttpHeaders {
  const echoed: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) echoed[`x-echo-${name}`] = String(value);
  const key = credential(headers);
  return {
    ...echoed,
    authorization: key,
    location: `https://echo.invalid/?key=${encodeURIComponent(key)}`,
    ...(hasTrailers ? { trailer: "x-echo-trailer" } : {}),
  };
}

/** The credential once more, after the body. */
export function echoTrailers(headers: IncomingHttpHeaders): Record<string, string> {
  return { "x-echo-trailer": credential(headers) };
}

function credential(headers: IncomingHttpHeaders): string {
  return headers.authorization ?? String(headers["x-api-key"] ?? headers["api-key"] ?? "");
}
