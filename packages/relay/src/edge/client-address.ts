/** The client's address, as far as it can be trusted. */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/** Whether an address belongs to one of the operator's own proxies. */
export type TrustedProxies = (address: string) => boolean;

/** Read at most this many hops. */
const HOPS_MAX = 32;

/**
 * The nearest address that is not one of the owner's proxies. The relay believes what such a proxy added to `X-Forwarded-For`,
 * because the owner set it up; anybody could have written the entries before that.
 */
export function clientAddress(request: IncomingMessage, isTrusted: TrustedProxies): string | undefined {
  let address = plainAddress(request.socket.remoteAddress ?? "");
  if (address === "") return undefined;
  const forwarded = forwardedFor(request);
  for (let hop = forwarded.length - 1; hop >= 0 && isTrusted(address); hop--) {
    const before = plainAddress(forwarded[hop] ?? "");
    if (isIP(before) === 0) break;
    address = before;
  }
  return address;
}

function forwardedFor(request: IncomingMessage): string[] {
  const header = request.headers["x-forwarded-for"];
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return text
    .split(",")
    .map((part) => part.trim())
    .slice(-HOPS_MAX);
}

/** Without brackets, port and the prefix of an IPv4 address in IPv6 form. */
function plainAddress(text: string): string {
  const bare = /^\[(.+)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, "$1");
  return bare.startsWith("::ffff:") && isIP(bare.slice(7)) === 4 ? bare.slice(7) : bare;
}
