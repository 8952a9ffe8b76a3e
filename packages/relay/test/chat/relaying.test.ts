import { expect, test } from "vitest";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;

async function start(upstreams: RelaySetup["upstreams"], more: Partial<RelaySetup> = {}): Promise<TestRelay> {
  return (relay = await relayForTest({ upstreams, ...more }));
}

test("a stream of the same dialect arrives byte for byte, and its row says how it went", async () => {
  await start({ a: { simulator: { scenario: { text: "Héllo wörld, 你好", usage: "finish" } } } });
  const answer = await call(relay);
  expect(answer.status).toBe(200);
  expect(answer.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
  expect(answer.headers["cache-control"]).toBe("no-store, no-cache, no-transform");
  expect(answer.headers["x-accel-buffering"]).toBe("no");
  expect(answer.headers["x-millrace-upstream"]).toBe("a");
  const direct = await fetch(`${relay.simulators["a"]?.url}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: relay.simulators["a"]?.seen[0]?.bodyText ?? "",
  });
  const withoutIds = (text: string): string => text.replaceAll(/"(id|created)":("[^"]*"|\d+)/g, "");
  expect(withoutIds(answer.body)).toBe(withoutIds(await direct.text()));
  expect(answer.body.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(await relay.row()).toMatchObject({
    end_reason: "complete",
    status: 200,
    model: "m",
    upstream: "a",
    basis: "exact",
    stream: 1,
    account_id: "default",
  });
});

test("an upstream that fails before content costs nothing and the next one answers", async () => {
  await start({
    a: { simulator: { scenario: { fault: { kind: "status", status: 503 } } } },
    b: { simulator: { scenario: { text: "from b" } } },
  });
  const answer = await call(relay);
  expect(readStream(answer)).toMatchObject({ outcome: "complete", choices: [{ text: "from b" }] });
  expect(answer.headers["x-millrace-upstream"]).toBe("b");
  expect(answer.headers["x-millrace-attempts"]).toBe("2");
  expect(relay.rows("attempts")).toMatchObject([
    { n: 1, upstream: "a", outcome: "failed", status: 503 },
    { n: 2, upstream: "b", outcome: "ok", status: 200 },
  ]);
});

test("the public model name stands in every event when the upstream knows another one", async () => {
  await start({ a: { simulator: { scenario: { text: "one two" } }, model: "inner-name" } });
  const answer = await call(relay);
  expect(answer.body).not.toContain("inner-name");
  expect(answer.body.match(/"model":"m"/g)?.length).toBeGreaterThan(2);
  expect(JSON.parse(relay.simulators["a"]?.seen[0]?.bodyText ?? "{}")).toMatchObject({ model: "inner-name" });
  const plain = await call(relay, { body: { model: "m", messages: MESSAGES } });
  expect(JSON.parse(plain.body)).toMatchObject({ model: "m", object: "chat.completion" });
});

test("usage is always asked for, and its extra chunk goes only to a client that asked too", async () => {
  await start({ a: { simulator: { scenario: { text: "a b c", usage: "asked" } } } });
  const silent = await call(relay);
  expect(silent.body).not.toContain('"choices":[],');
  expect(readStream(silent).usage).toBeNull();
  expect(JSON.parse(relay.simulators["a"]?.seen[0]?.bodyText ?? "{}")).toMatchObject({ stream_options: { include_usage: true } });
  const asked = await call(relay, {
    body: { model: "m", stream: true, stream_options: { include_usage: true, x: 1 }, messages: MESSAGES },
  });
  expect(readStream(asked).usage).toMatchObject({ completion_tokens: expect.any(Number) as number });
  expect((await relay.row(1))["output_tokens"]).toBe((await relay.row(2))["output_tokens"]);
});

test("unknown fields ride along in both directions", async () => {
  await start({ a: { simulator: { scenario: { text: "x" } } } });
  const body =
    '{"model":"m","x_unknown":{"deep":[1,2.50,1e400,9007199254740993]},"stream":false,"messages":[{"role":"user","content":"hi","reasoning_content":"kept"}]}';
  await call(relay, { body });
  expect(relay.simulators["a"]?.seen[0]?.bodyText).toBe(body);
});

test("content that was sent and then broke off ends in an error event and an abnormal end", async () => {
  await start({ a: { simulator: { scenario: { events: 20, fault: { kind: "cut", bytes: 3000 } } } }, b: {} });
  const answer = await call(relay);
  expect(answer.status).toBe(200);
  expect(answer.isWhole).toBe(false);
  expect(answer.body).not.toContain("[DONE]");
  expect(errorOf(answer)).toMatchObject({ code: "upstream_truncated", type: "server_error", param: null });
  expect(answer.body).toContain('\n\ndata: {"error":{"message":');
  expect(relay.simulators["b"]?.seen.length).toBe(0);
  expect(await relay.row()).toMatchObject({ end_reason: "upstream_truncated", error_code: "upstream_truncated", basis: "estimated" });
});

test("DeepSeek's insufficient_system_resource is a cut, not an end", async () => {
  await start({ a: { simulator: { scenario: { text: "half an", finishReason: "insufficient_system_resource" } } } });
  const answer = await call(relay);
  expect(answer.isWhole).toBe(false);
  expect(answer.body).not.toContain("[DONE]");
  expect(errorOf(answer).code).toBe("upstream_failed");
});

test("[DONE] without a finish reason passes as it is, unless this upstream always sends one", async () => {
  await start({ a: { simulator: { scenario: { text: "x", finishReason: null } } } });
  const passed = await call(relay);
  expect(passed.isWhole).toBe(true);
  expect(readStream(passed)).toMatchObject({ outcome: "complete", warnings: ["missing_finish_reason"] });
  expect(await relay.row()).toMatchObject({ end_reason: "complete", marks: "missing_finish_reason,unpriced" });
  await relay.close();
  await start({ a: { finish: "required", simulator: { scenario: { text: "x", finishReason: null } } } });
  const cut = await call(relay);
  expect(cut.isWhole).toBe(false);
  expect(errorOf(cut).code).toBe("upstream_truncated");
});

test("a finish without [DONE] is completed after a clean end of the body, and only then", async () => {
  await start({ a: { simulator: { scenario: { text: "whole", done: false } } } });
  const clean = await call(relay);
  expect(clean.isWhole).toBe(true);
  expect(clean.body.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(await relay.row()).toMatchObject({ end_reason: "complete", marks: "missing_done,unpriced" });
});

test("the caller's own fault passes with the upstream's words, and nothing else is tried", async () => {
  await start({ a: { simulator: { scenario: { fault: { kind: "status", status: 400 } } } }, b: {} });
  const answer = await call(relay);
  expect(answer.status).toBe(400);
  expect(errorOf(answer).type).toBe("invalid_request_error");
  expect(relay.simulators["b"]?.seen.length).toBe(0);
  expect(await relay.row()).toMatchObject({ end_reason: "refused", status: 400, basis: "none" });
});

test("our own key being refused is never a 401 of the client's", async () => {
  for (const status of [401, 402, 403, 404]) {
    await start({ a: { simulator: { scenario: { fault: { kind: "status", status } } } } });
    const answer = await call(relay);
    expect([status, answer.status]).toEqual([status, 502]);
    expect(errorOf(answer).code).toBe("upstream_failed");
    if (status !== 404) await relay.close();
  }
});

test("a throttled upstream rests for the time it asked for, and only when all are throttled the client hears 429", async () => {
  await start({
    a: { simulator: { scenario: { fault: { kind: "status", status: 429, retryAfterMs: 30_000 } } } },
    b: { simulator: { scenario: { text: "b" } } },
  });
  expect(readStream(await call(relay)).choices[0]?.text).toBe("b");
  expect(readStream(await call(relay)).choices[0]?.text).toBe("b");
  expect(relay.simulators["a"]?.seen.length).toBe(1);
  relay.simulators["b"]?.setScenario({ fault: { kind: "status", status: 429, retryAfterMs: 500_000 } });
  const refused = await call(relay);
  const again = await call(relay);
  for (const answer of [refused, again]) {
    expect(answer.status).toBe(429);
    expect(errorOf(answer)).toMatchObject({ code: "rate_limited", type: "rate_limit_error" });
    expect(Number(answer.headers["retry-after"])).toBeLessThanOrEqual(60);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(20);
  }
  expect(relay.simulators["b"]?.seen.length).toBe(3);
});

test("redirects are not followed", async () => {
  await start({ a: { simulator: { scenario: { fault: { kind: "redirect", status: 307, location: "http://127.0.0.1:1/x" } } } } });
  const answer = await call(relay);
  expect(answer.status).toBe(502);
  expect(errorOf(answer).code).toBe("upstream_redirect");
  expect(answer.headers["x-should-retry"]).toBe("false");
});

test("plain answers, completions, embeddings and models pass, with and without /v1", async () => {
  await start({ a: { simulator: { scenario: { text: "plain" } } } });
  for (const prefix of ["/v1", ""]) {
    const chat = await call(relay, { path: `${prefix}/chat/completions`, body: { model: "m", messages: MESSAGES } });
    expect(JSON.parse(chat.body)).toMatchObject({ choices: [{ message: { content: "plain" } }] });
    const text = await call(relay, { path: `${prefix}/completions`, body: { model: "m", prompt: "Once", stream: true } });
    expect(text.body.endsWith("data: [DONE]\n\n")).toBe(true);
    const vectors = await call(relay, { path: `${prefix}/embeddings`, body: { model: "m", input: ["a", "b"] } });
    expect(JSON.parse(vectors.body)).toMatchObject({ object: "list", data: [{ index: 0 }, { index: 1 }] });
    const models = await call(relay, { path: `${prefix}/models`, method: "GET", body: null });
    expect(JSON.parse(models.body)).toEqual({ object: "list", data: [{ id: "m", object: "model", created: 0, owned_by: "a" }] });
    expect((await call(relay, { path: `${prefix}/models/m`, method: "GET", body: null })).status).toBe(200);
  }
});

test("an embedding list larger than what is judged whole still passes, with its model name and usage", async () => {
  await start({ a: { model: "inner", simulator: {} } });
  const input = Array.from({ length: 400 }, (_, i) => `text number ${i}`);
  const answer = await call(relay, { path: "/v1/embeddings", body: { model: "m", input, encoding_format: "float", dimensions: 1024 } });
  expect(answer.isWhole).toBe(true);
  expect(answer.body.length).toBeGreaterThan(1024 * 1024);
  const parsed = JSON.parse(answer.body) as { model: string; data: unknown[]; usage: { prompt_tokens: number } };
  expect(parsed.model).toBe("m");
  expect(parsed.data.length).toBe(400);
  expect(await relay.row()).toMatchObject({ basis: "exact", input_tokens: parsed.usage.prompt_tokens, end_reason: "complete" });
});

test("an unknown model is named as such, with close matches", async () => {
  await start({ a: {} });
  const answer = await call(relay, { body: { model: "mm", messages: MESSAGES } });
  expect(answer.status).toBe(404);
  expect(errorOf(answer)).toMatchObject({ code: "model_not_found", param: "model" });
  expect(errorOf(answer).message).toContain("Did you mean m?");
});

test("an upstream that cannot be reached is tried again, then it is a 502", async () => {
  await start({ a: { baseUrl: "http://127.0.0.1:1/v1" } });
  const answer = await call(relay);
  expect(answer.status).toBe(502);
  expect(errorOf(answer).message).toContain("could not be reached (ECONNREFUSED)");
  await relay.row();
  expect(relay.rows("attempts")).toMatchObject([{ outcome: "connect" }, { outcome: "connect" }, { outcome: "connect" }]);
});

test("relays count themselves on the way, so that an upstream that points back ends after eight hops", async () => {
  await start({ a: { simulator: {} } });
  const answer = await call(relay, { headers: { "x-millrace-hops": "8" } });
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).toContain("passed through too many relays");
  expect(relay.simulators["a"]?.seen.length).toBe(0);
  await call(relay, { headers: { "x-millrace-hops": "4" } });
  expect(relay.simulators["a"]?.seen[0]?.headers["x-millrace-hops"]).toBe("5");
});

test("a request that no upstream saw is counted, and written down where its key was good", async () => {
  await start({ a: {} });
  await call(relay, { body: "{not json" });
  await call(relay, { body: { model: "nope", messages: MESSAGES } });
  await call(relay, { headers: { authorization: "Bearer sk-wrong-0123456789" } });
  await relay.row(2);
  expect(relay.rows("requests")).toMatchObject([
    { end_reason: "refused", error_code: "invalid_json", status: 400, model: "", upstream: null, basis: "none" },
    { end_reason: "refused", error_code: "model_not_found", status: 404, model: "nope" },
  ]);
  const metrics = (await call(relay, { path: "/metrics", method: "GET", body: null })).body;
  for (const code of ["invalid_json", "model_not_found", "key_invalid"])
    expect(metrics).toContain(`millrace_refusals_total{code="${code}"} 1`);
  expect(relay.logLines.filter((line) => line.includes('"error_code":"key_invalid"')).length).toBe(1);
});

test("what the relay added is told for streams and plain answers, without the time of a failed attempt", async () => {
  await start({
    a: { simulator: { scenario: { ttftMs: 300, fault: { kind: "error-200" } } } },
    b: { simulator: { scenario: { text: "x" } } },
  });
  for (const stream of [true, false]) {
    const answer = await call(relay, { body: { model: "m", stream, messages: MESSAGES } });
    expect(answer.headers["x-millrace-upstream"]).toBe("b");
    expect(Number(answer.headers["x-millrace-overhead-ms"])).toBeGreaterThan(0);
    expect(Number(answer.headers["x-millrace-overhead-ms"])).toBeLessThan(150);
  }
  await relay.row(2);
  for (const row of relay.rows("requests")) expect(row["overhead_ms"]).toBeLessThan(150);
});
