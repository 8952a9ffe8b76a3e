import { createServer } from "node:net";
import type { Server } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { listen } from "../../src/simulator/listen.ts";
import { call, MESSAGES } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;
let canary: Server;
let canaryUrl: string;
let contacts = 0;

beforeAll(async () => {
  canary = createServer((socket) => {
    contacts += 1;
    socket.destroy();
  });
  canaryUrl = `http://127.0.0.1:${await listen(canary, "127.0.0.1")}/v1`;
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" } } } } });
});
afterAll(async () => {
  expect(contacts).toBe(0);
  await relay.close();
  canary.close();
});

const NAMES = [
  "api_base",
  "base_url",
  "baseURL",
  "api_url",
  "url",
  "endpoint",
  "host",
  "hostname",
  "proxy",
  "http_proxy",
  "https_proxy",
  "proxies",
  "headers",
  "extra_headers",
  "default_headers",
  "extra_body",
  "extra_query",
  "organization",
  "project",
  "api_key",
  "api_version",
  "api_type",
  "azure_endpoint",
  "azure_ad_token",
  "custom_llm_provider",
  "provider",
  "litellm_params",
  "model_list",
  "fallbacks",
  "router_settings",
  "x-portkey-custom-host",
  "x-portkey-config",
  "x-portkey-provider",
  "x-base-url",
  "x-api-base",
  "x-target-url",
  "x-upstream-url",
  "x-forwarded-host",
  "x-original-url",
  "x-rewrite-url",
  "cookie",
  "authorization_upstream",
  "openai-organization",
  "openai-project",
  "aws_bedrock_runtime_endpoint",
  "vertex_project",
  "callback_url",
  "success_callback",
  "redirect",
  "x-goog-api-key",
] as const;

/** Everything that may reach an upstream, and what it says. */
const ALLOWED: Readonly<Record<string, RegExp>> = {
  host: /^127\.0\.0\.1:\d+$/,
  connection: /^keep-alive$/,
  "content-type": /^application\/json$/,
  "content-length": /^\d+$/,
  accept: /^(?:application\/json|text\/event-stream)$/,
  "accept-encoding": /^identity$/,
  "user-agent": /^millrace$/,
  authorization: /^Bearer sk-upstream-secret-of-a$/,
  "x-millrace-hops": /^\d$/,
};

function expectAllowed(): void {
  const seen = relay.simulators["a"]?.seen.at(-1);
  expect(seen?.path).toBe("/v1/chat/completions");
  const raw = seen?.rawHeaders ?? [];
  for (let i = 0; i < raw.length; i += 2) {
    const [name, value] = [raw[i]?.toLowerCase() ?? "", raw[i + 1] ?? ""];
    expect(Object.keys(ALLOWED)).toContain(name);
    expect(value).toMatch(ALLOWED[name] ?? /^$/);
  }
  expect(raw.join("\n")).not.toContain(relay.key);
  expect(raw.filter((_, i) => i % 2 === 0).length).toBe(new Set(raw.filter((_, i) => i % 2 === 0)).size);
}

test("there are at least 40 names", () => {
  expect(new Set(NAMES).size).toBeGreaterThanOrEqual(40);
});

test.each(NAMES)("%s in the body, a header or the query changes neither where a request goes nor what it says", async (name) => {
  const values = [canaryUrl, { Authorization: "Bearer sk-evil", "X-Evil": "1", http: canaryUrl }];
  for (const value of values) {
    expect((await call(relay, { body: { model: "m", messages: MESSAGES, [name]: value } })).status).toBe(200);
    expectAllowed();
  }
  const headers = name === "host" ? { host: "canary.test" } : { [name]: canaryUrl };
  for (const stream of [true, false]) {
    expect((await call(relay, { headers, body: { model: "m", stream, messages: MESSAGES } })).status).toBe(200);
    expectAllowed();
  }
  const path = `/v1/chat/completions?${encodeURIComponent(name)}=${encodeURIComponent(canaryUrl)}`;
  expect((await call(relay, { path })).status).toBe(200);
  expectAllowed();
  expect(contacts).toBe(0);
});

test("an upstream sees exactly the allowed headers, whatever a client sends along", async () => {
  const headers = {
    cookie: "session=secret",
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-proto": "https",
    forwarded: "for=10.0.0.1",
    "x-real-ip": "10.0.0.1",
    via: "1.1 a",
    "x-api-key": relay.key,
    "api-key": relay.key,
    "xi-api-key": relay.key,
    "x-goog-api-key": relay.key,
    "proxy-authorization": "Basic abc",
    "user-agent": "client/1",
    accept: "text/html",
    "accept-encoding": "gzip, br",
    "accept-language": "de",
    origin: "https://a.test",
    referer: "https://a.test/",
    te: "trailers",
    "keep-alive": "timeout=5",
    "x-stainless-lang": "js",
    "openai-beta": "x",
    "anthropic-version": "2023-06-01",
    connection: "keep-alive, authorization",
  };
  expect((await call(relay, { headers })).status).toBe(200);
  expectAllowed();
  const names = (relay.simulators["a"]?.seen.at(-1)?.rawHeaders ?? []).filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  expect(names.toSorted()).toEqual(
    Object.keys(ALLOWED)
      .filter((name) => names.includes(name) || name !== "x-millrace-hops")
      .toSorted(),
  );
});

test("images and other links in a message are passed on, never fetched", async () => {
  const content = [
    { type: "image_url", image_url: { url: `${canaryUrl}/image.png` } },
    { type: "input_audio", input_audio: { data: `${canaryUrl}/a.wav`, format: "wav" } },
    { type: "file", file: { file_data: `${canaryUrl}/f` } },
  ];
  expect((await call(relay, { body: { model: "m", messages: [{ role: "user", content }] } })).status).toBe(200);
  expect(relay.simulators["a"]?.seen.at(-1)?.json).toMatchObject({ messages: [{ content }] });
  expect(contacts).toBe(0);
});
