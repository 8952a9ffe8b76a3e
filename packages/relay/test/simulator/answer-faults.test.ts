import { request as httpRequest } from "node:http";

import { expect, test } from "vitest";

import { bodyOf } from "./raw-client.ts";
import { chat, chunksOf, contentOf, dataOf, fault, post, sightOf, simulated, withFault } from "./simulated.ts";

test.each([400, 401, 402, 403, 404, 413, 422, 500, 502, 503, 529])("status %i has OpenAI's error body", async (status) => {
  const reply = await chat(await withFault(String(status)));
  expect(reply.status).toBe(status);
  expect(JSON.parse(reply.text)).toMatchObject({
    error: { message: expect.any(String), param: null },
  });
});

test("a throttled answer tells when to come back", async () => {
  const seconds = await chat(await withFault("429=2s"));
  expect([seconds.status, seconds.headers.get("retry-after")]).toEqual([429, "2"]);
  const short = await chat(await withFault("503=250ms"));
  expect([short.status, short.headers.get("retry-after"), short.headers.get("retry-after-ms")]).toEqual([503, "1", "250"]);
  expect((await chat(await withFault("status=502:html"))).headers.get("content-type")).toBe("text/html");
});

test("a broken event comes after so many good ones and the stream goes on", async () => {
  const events = dataOf((await chat(await withFault("garbage-event=2"), { stream: true })).text);
  expect(() => JSON.parse(events[1] ?? "") as unknown).not.toThrow();
  expect(() => JSON.parse(events[2] ?? "") as unknown).toThrow();
  expect(events.at(-1)).toBe("[DONE]");
});

test("errors inside a stream come in every provider's shape", async () => {
  const last = async (spec: string): Promise<readonly string[]> => dataOf((await chat(await withFault(spec), { stream: true })).text);
  const openai = await last("error-event=2");
  expect(openai).toHaveLength(3);
  expect(JSON.parse(openai[2] ?? "")).toMatchObject({
    error: { code: "server_error", param: null },
  });
  expect(JSON.parse((await last("error-event=1:string"))[1] ?? "")).toEqual({
    error: expect.any(String),
  });
  expect((await last("error-event=1:vllm")).at(-1)).toBe("[DONE]");
  expect(JSON.parse((await last("error-event=1:openrouter"))[1] ?? "")).toMatchObject({
    object: "chat.completion.chunk",
    choices: [{ finish_reason: "error" }],
    error: { code: 502 },
  });
  const named = (await chat(await withFault("error-event=1:named"), { stream: true })).text;
  expect(named).toContain('event: error\ndata: {"error"');
  const first = await last("error-first");
  expect(first).toHaveLength(1);
  expect(JSON.parse(first[0] ?? "")).toHaveProperty("error");
});

test("200 with an error, a plain answer, HTML, or nothing at all instead of a stream", async () => {
  const get = async (spec: string): Promise<[string | null, string]> => {
    const reply = await chat(await withFault(spec), { stream: true });
    expect(reply.status).toBe(200);
    return [reply.headers.get("content-type"), reply.text];
  };
  const [errorType, error] = await get("error-200");
  expect([errorType, JSON.parse(error)]).toMatchObject(["application/json", { error: { type: "server_error" } }]);
  const [plainType, plain] = await get("json-instead-of-stream");
  expect([plainType, JSON.parse(plain)]).toMatchObject(["application/json", { object: "chat.completion" }]);
  expect(await get("wrong-type")).toEqual(["text/html", expect.stringContaining("<html>")]);
  expect(await get("wrong-type=text/plain")).toEqual(["text/plain", expect.stringContaining("data: [DONE]")]);
  expect((await get("blank"))[1]).toBe("");
  expect((await get("comments-only"))[1]).toMatch(/^(: keep-alive\n\n)+$/);
  expect((await get("done-only"))[1]).toBe("data: [DONE]\n\n");
  expect(chunksOf((await get("role-only"))[1])).toMatchObject([{ choices: [{ delta: { role: "assistant" } }] }]);
  expect((await chat(await withFault("blank-lines-only"))).text).toMatch(/^\n+$/);
  expect((await chat(await withFault("blank"))).text).toBe("");
});

test("missing ends, late events, empty data, changed ids and bad bytes", async () => {
  const get = async (spec: string): Promise<string> => (await chat(await withFault(spec), { stream: true })).text;
  expect(await get("no-done")).not.toContain("[DONE]");
  const unfinished = chunksOf(await get("no-finish"));
  expect(unfinished.every((chunk) => chunk.choices[0]?.finish_reason === null)).toBe(true);
  expect(dataOf(await get("after-done")).at(-2)).toBe("[DONE]");
  expect(await get("empty-data")).toContain("\n\ndata:\n\ndata: {");
  expect(new Set(chunksOf(await get("id-change")).map((chunk) => chunk.id)).size).toBe(2);
  expect(contentOf(chunksOf(await get("bad-utf8")))).toContain("\uFFFD(\uFFFD");
  const started = performance.now();
  await get("linger=80ms");
  expect(performance.now() - started).toBeGreaterThan(75);
});

test("lines and documents of JSON without data:", async () => {
  const lines = (await chat(await withFault("ndjson"), { stream: true })).text.trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { object: string }).object)).toContain("chat.completion.chunk");
  const documents = (await chat(await withFault("multi-json-body"), { stream: true })).text;
  expect(documents).toContain("}{");
  const plain = (await chat(await withFault("multi-json-body"))).text.split("\n");
  expect(plain.map((text) => (JSON.parse(text) as { object: string }).object)).toEqual(Array(2).fill("chat.completion"));
});

test("a redirect keeps its status and place", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    const reply = await chat(await withFault(`redirect=${status}:http://127.0.0.1:9/x`));
    expect([reply.status, reply.headers.get("location")]).toEqual([status, "http://127.0.0.1:9/x"]);
  }
});

test("an echo gives the key back in headers, location, text, trailers, errors and events", async () => {
  const key = "sk-secret-1234";
  const seen = await sightOf("echo");
  const [head = "", ...rest] = seen.text.split("\r\n\r\n");
  expect(head).toContain(`x-echo-authorization: Bearer ${key}`);
  expect(head).toMatch(new RegExp(`location: .*${key}`));
  expect(rest.join("\r\n\r\n")).toMatch(new RegExp(`\r\n0\r\nx-echo-trailer: Bearer ${key}`));
  expect(contentOf(chunksOf(bodyOf(seen).text))).toContain(`authorization: Bearer ${key}`);
  const error = await chat(await withFault("echo=401"));
  expect([error.status, error.text]).toEqual([401, expect.stringContaining(key)]);
  const events = dataOf((await chat(await withFault("echo=event"), { stream: true })).text);
  expect(events.at(-1)).toMatch(new RegExp(`^{"error".*${key}`));
  expect((await chat(await withFault("echo"))).text).toContain(key);
});

test("faults other than bent streams reach the embeddings and completions endpoints too", async () => {
  expect((await post(await withFault("503"), "embeddings", { input: "a" })).status).toBe(503);
  await expect(post(await withFault("cut=50"), "embeddings", { input: "a" })).rejects.toThrow();
  expect((await post(await withFault("no-done"), "completions", { prompt: "a", stream: true })).text).not.toContain("DONE");
});

test("a share meets its part of the requests, the same ones for the same seed", async () => {
  const run = async (seed: number): Promise<string> => {
    const faults = [
      { fault: fault("503"), share: 0.2 },
      { fault: fault("429=1s"), share: 0.3 },
    ];
    const simulator = await simulated({ seed, faults });
    let statuses = "";
    for (let count = 0; count < 200; count += 1) statuses += `${(await chat(simulator)).status} `;
    return statuses;
  };
  const first = await run(3);
  expect(first.match(/503/g)?.length).toBeGreaterThan(25);
  expect(first.match(/503/g)?.length).toBeLessThan(55);
  expect(first.match(/429/g)?.length).toBeGreaterThan(40);
  expect(first.match(/429/g)?.length).toBeLessThan(80);
  expect(await run(3)).toBe(first);
  expect(await run(4)).not.toBe(first);
});

test("rules can be changed while it runs and leave GET endpoints alone", async () => {
  const simulator = await simulated({ faults: [{ fault: fault("503"), share: 1 }] });
  expect((await chat(simulator)).status).toBe(503);
  expect((await fetch(`${simulator.url}/models`)).status).toBe(200);
  simulator.setFaults([]);
  expect((await chat(simulator)).status).toBe(200);
});

test("node's own client sees trailers of an echo", async () => {
  const simulator = await withFault("echo");
  const trailers = await new Promise<unknown>((resolve, reject) => {
    const request = httpRequest(`${simulator.url}/chat/completions`, {
      method: "POST",
      headers: { "x-api-key": "k" },
    });
    request.on("error", reject);
    request.on("response", (response) => response.resume().on("end", () => resolve(response.trailers)));
    request.end(JSON.stringify({ model: "m", messages: [], stream: true }));
  });
  expect(trailers).toEqual({ "x-echo-trailer": "k" });
});
