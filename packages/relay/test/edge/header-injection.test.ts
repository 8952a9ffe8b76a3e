import { afterAll, beforeAll, expect, test } from "vitest";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { KEY, bare, chat } from "./raw-case.ts";
import { exchange } from "./raw.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" } } } } });
});
afterAll(() => relay.close());

const PAYLOADS = [
  "a\r\nX-Injected: 1",
  "a\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: 1\r\n\r\n",
  "a\nX-Injected: 1",
  "a\rX-Injected: 1",
  "a\0b",
  "a\u007fb",
  "\u2028X-Injected: 1",
  "\u010d\u010aX-Injected: 1",
  "模型",
  "😀",
  "\ud800",
  "é",
  "%0d%0aX-Injected:%201",
  "../../admin",
  "m?x=1#y",
  "${jndi:ldap://127.0.0.1:1/a}",
  "<script>alert(1)</script>",
  "' OR '1'='1",
  "a".repeat(256),
  "😀".repeat(128),
];

test.each(PAYLOADS.map((payload) => [JSON.stringify(payload).slice(0, 60), payload]))(
  "a model named %s is refused, and nothing of it becomes a header",
  async (_name, payload) => {
    for (const stream of [true, false]) {
      const answer = await call(relay, { body: { model: payload, stream, messages: MESSAGES } });
      // Control characters are in no model's name.
      const refusal = /\p{Cc}/u.test(payload) ? [400, "invalid_request"] : [404, "model_not_found"];
      expect([answer.status, errorOf(answer).code]).toEqual(refusal);
      expect(Object.keys(answer.headers)).not.toContain("x-injected");
      for (const value of Object.values(answer.headers)) expect(String(value)).toMatch(/^[\x20-\x7e]*$/);
    }
    const path = `/v1/models/${encodeURIComponent(payload.toWellFormed())}`;
    const looked = await call(relay, { method: "GET", path, body: null });
    expect(looked.status).toBe(404);
    expect(Object.keys(looked.headers)).not.toContain("x-injected");
  },
);

test.each(PAYLOADS.map((payload) => [JSON.stringify(payload).slice(0, 60), payload]))(
  "%s as user, id and metadata goes up in the body alone",
  async (_name, payload) => {
    const body = {
      model: "m",
      messages: MESSAGES,
      user: payload,
      id: payload,
      metadata: { [payload]: payload },
      safety_identifier: payload,
    };
    const answer = await call(relay, { body });
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.headers)).not.toContain("x-injected");
    const seen = relay.simulators["a"]?.seen.at(-1);
    expect(seen?.json).toEqual(JSON.parse(JSON.stringify(body)));
    expect(seen?.rawHeaders.join("\n")).not.toContain("njected");
  },
);

const TRACE_NAMES = [
  "traceparent",
  "tracestate",
  "last-event-id",
  "x-request-id",
  "idempotency-key",
  "x-millrace-user",
  "x-millrace-tags",
  "x-millrace-region",
];
const TRACE_VALUES = [
  "00-zz-zz-01",
  "\xff\xfe",
  "a".repeat(4_000),
  "-1",
  "999999999999999999999",
  "../../etc/passwd",
  "' OR 1=1 --",
  "%0d%0aX-Injected: 1",
  "",
  "__proto__",
];

test.each(TRACE_NAMES)("whatever stands in %s, the request is answered and nothing comes back or goes up", async (name) => {
  const content = JSON.stringify({ model: "m", messages: MESSAGES });
  for (const value of TRACE_VALUES) {
    const bytes = `${chat(`Content-Length: ${content.length}`, `${name}: ${value}`)}${content}`.replaceAll(KEY, relay.key);
    const sight = await exchange(relay.port, bytes, { answers: 1, isClosing: false });
    // A name for the request that cannot be one is refused; the other headers are nobody's business.
    const isRefused = name === "idempotency-key" && !/^[\x21-\x7e]{1,255}$/.test(value);
    expect(sight.answers.map((answer) => answer.status)).toEqual([isRefused ? 400 : 200]);
    if (isRefused) continue;
    const headers = sight.answers[0]?.headers ?? {};
    expect(Object.keys(headers)).not.toContain("x-injected");
    expect(headers["x-request-id"]).toMatch(/^req_[0-9a-z]{25}$/);
    const seen = relay.simulators["a"]?.seen.at(-1)?.headers ?? {};
    expect(Object.keys(seen)).not.toContain(name);
  }
});

test.each(["X-A: b\r\n\r\nGET", "X-A: b\nX-Injected: 1", "X-A: \0"])("broken header bytes are refused as such: %j", async (line) => {
  const sight = await exchange(relay.port, bare("GET /v1/models HTTP/1.1", "Host: a", line), { answers: 1, isClosing: true });
  expect(sight.answers[0]?.status).toBeGreaterThanOrEqual(400);
  expect(sight.answers.every((answer) => answer.status < 500)).toBe(true);
  expect(sight.isClosed).toBe(true);
});
