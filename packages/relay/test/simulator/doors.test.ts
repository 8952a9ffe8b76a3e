import { expect, test } from "vitest";

import { runSimulate } from "../../src/simulator/command.ts";
import { freePort } from "../support/free-port.ts";
import { chat, chunksOf, contentOf, post, simulated } from "./simulated.ts";

test("models and balance are listed, with and without /v1", async () => {
  const simulator = await simulated({ models: ["a/b", "c"] });
  const base = simulator.url.replace(/\/v1$/, "");
  const get = async (path: string): Promise<unknown> => (await fetch(base + path)).json();
  for (const prefix of ["", "/v1"]) {
    expect(await get(`${prefix}/models`)).toMatchObject({
      object: "list",
      data: [{ id: "a/b" }, { id: "c" }],
    });
    expect(await get(`${prefix}/models/a/b`)).toMatchObject({ id: "a/b", object: "model" });
    expect(await get(`${prefix}/models/a%2Fb`)).toMatchObject({ id: "a/b" });
    expect(await get(`${prefix}/user/balance`)).toMatchObject({
      is_available: true,
      balance_infos: [{ currency: "USD" }],
    });
  }
  expect(await get("/models/none")).toMatchObject({ error: { code: "model_not_found" } });
  expect(await get("/nothing")).toMatchObject({ error: { type: "invalid_request_error" } });
});

test("mistakes in a request get OpenAI's error shape", async () => {
  const simulator = await simulated({ models: ["m"] });
  const statuses = await Promise.all([
    chat(simulator, { model: "other" }),
    chat(simulator, { model: undefined }),
    chat(simulator, { messages: "x" }),
    chat(simulator, { stream_options: { include_usage: true } }),
    post(simulator, "embeddings", {}),
  ]);
  expect(statuses.map((reply) => reply.status)).toEqual([404, 400, 400, 400, 400]);
  for (const reply of statuses) {
    expect(Object.keys((JSON.parse(reply.text) as { error: object }).error)).toEqual(["message", "type", "param", "code"]);
  }
  const broken = await fetch(`${simulator.url}/chat/completions`, { method: "POST", body: "{" });
  expect(broken.status).toBe(400);
  expect((await fetch(`${simulator.url}/chat/completions`)).status).toBe(405);
});

test("a wrong key is refused in OpenAI's or DeepSeek's words, a right one is not", async () => {
  const simulator = await simulated({ apiKey: "sk-right" });
  const ask = (headers: Record<string, string>): Promise<Response> => fetch(`${simulator.url}/models`, { headers });
  expect((await ask({ authorization: "Bearer sk-right" })).status).toBe(200);
  expect((await ask({ "x-api-key": "sk-right" })).status).toBe(200);
  const openai = await ask({ authorization: "Bearer sk-wrong-key-6789" });
  expect(await openai.json()).toMatchObject({ error: { code: "invalid_api_key" } });
  simulator.setScenario({ errorStyle: "deepseek" });
  const deepseek = await ask({ authorization: "Bearer sk-wrong-key-6789" });
  expect(deepseek.status).toBe(401);
  expect(await deepseek.text()).toContain("****6789 is invalid");
  expect(await (await ask({})).text()).toBe("Authentication Fails (governor)");
});

test("what was asked is recorded, the newest requests only", async () => {
  const simulator = await simulated({ seenMax: 2 });
  for (const user of ["a", "b", "c"]) await chat(simulator, { user });
  expect(simulator.seen.map((seen) => (seen.json as { user: string }).user)).toEqual(["b", "c"]);
  const [seen] = simulator.seen;
  expect(seen).toMatchObject({
    method: "POST",
    path: "/v1/chat/completions",
    number: 2,
    closedByPeerAt: null,
  });
  expect(seen?.rawHeaders).toContain("Bearer sk-secret-1234");
  expect(seen?.bodyText).toContain("mill race");
  expect(seen?.finishedAt).toBeGreaterThan(seen?.arrivedAt ?? 0);
  expect(simulator.counts).toMatchObject({
    requests: 3,
    finished: 3,
    openRequests: 0,
    closedByPeer: 0,
  });
});

test("a script changes the answer of one request", async () => {
  const simulator = await simulated({
    scenario: { text: "usual" },
    script: (seen) => (seen.number === 2 ? { text: "special" } : undefined),
  });
  const texts = [];
  for (let count = 0; count < 3; count += 1) texts.push(contentOf(chunksOf((await chat(simulator, { stream: true })).text)));
  expect(texts).toEqual(["usual", "special", "usual"]);
});

test("ports come from below the range that the system gives to outgoing connections", async () => {
  const simulator = await simulated();
  for (const port of [simulator.port, await freePort()]) {
    expect(port).toBeGreaterThanOrEqual(20_000);
    expect(port).toBeLessThan(32_000);
  }
});

test("the command prints its one line, or every mistake at once", async () => {
  const lines: string[] = [];
  const result = await runSimulate({ ttft: "0ms", rate: "0", faults: ["503@0%"] }, (line) => lines.push(line));
  if (!("ok" in result)) throw new Error(result.errors.join());
  expect(lines).toEqual([`simulator listening on ${result.ok.url}`]);
  expect((await chat(result.ok)).status).toBe(200);
  await result.ok.close();
  const wrong = await runSimulate({ ttft: "fast", rate: "x", faults: ["nonsense", "cut"] }, (line) => lines.push(line));
  expect("errors" in wrong && wrong.errors).toHaveLength(4);
  expect(lines).toHaveLength(1);
});
