import type { IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { isInNetworks, networkList } from "../../src/basics/network.ts";
import { clientAddress } from "../../src/edge/client-address.ts";
import { call } from "../support/call.ts";
import { ADMIN_TOKEN, relayForTest } from "../support/start-relay.ts";

const from = (remoteAddress: string, forwarded?: string): IncomingMessage =>
  ({ socket: { remoteAddress }, headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } }) as unknown as IncomingMessage;

test.each([
  ["nothing is forwarded", "203.0.113.9", undefined, "203.0.113.9"],
  ["a stranger says who he is", "203.0.113.9", "198.51.100.1", "203.0.113.9"],
  ["a proxy says who it is", "10.0.0.1", "198.51.100.1", "198.51.100.1"],
  ["what stands before the proxy's own entry is anybody's", "10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"],
  ["two proxies in a row", "10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"],
  ["nothing but proxies", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
  ["an entry that is no address ends the chain", "10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"],
  ["IPv4 in IPv6 form", "::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"],
  ["IPv6 with brackets and port", "fd00::1", "[2001:db8::7]:4711", "2001:db8::7"],
  ["IPv4 with a port", "10.0.0.1", "198.51.100.1:4711", "198.51.100.1"],
])("%s", (_case, socket, forwarded, expected) => {
  const proxies = networkList(["10.0.0.0/8", "fd00::/8"]);
  expect(clientAddress(from(socket, forwarded), (address) => isInNetworks(proxies, address))).toBe(expected);
});

test.each([
  [[], 403],
  [["127.0.0.1"], 200],
])("a key's address list sees the forwarded address behind trusted proxies alone: %j", async (proxies, status) => {
  const relay = await relayForTest({ upstreams: { a: {} }, trustedProxies: proxies });
  const made = await call(relay, {
    path: "/admin/api/keys",
    body: { addresses: ["198.51.100.0/24"] },
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const { key } = JSON.parse(made.body) as { key: string };
  const answer = await call({ port: relay.port, key }, { headers: { "x-forwarded-for": "198.51.100.7" } });
  expect(answer.status).toBe(status);
});
