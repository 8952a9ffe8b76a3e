import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, jsonSchema, streamText, tool } from "ai";
import type { ToolSet } from "ai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Scenario } from "../../src/simulator/scenario.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { until } from "../simulator/raw-client.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { helperOf, MESSAGES, OPENAI_VERSIONS } from "./clients.ts";
import type { OpenAI } from "./clients.ts";
import { ChunkFold } from "./outcome.ts";

let relay: TestRelay;
let upstream: Simulator;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: {} } });
  upstream = relay.simulators["a"] as Simulator;
});
beforeEach(() => upstream.setScenario({}));
afterAll(() => relay.close());

const ASK = { model: "m", messages: MESSAGES };
const WEATHER = { id: "call_1", name: "weather", arguments: '{"city":"Bern","days":3}' };
const PARAMETERS = { type: "object" as const, properties: { city: { type: "string" as const }, days: { type: "number" as const } } };
const TOOLS = [{ type: "function" as const, function: { name: "weather", parameters: PARAMETERS } }];
const WRONG_KEY = "sk-0123456789abcdef0123456789abcdef";

/** An endless answer, some events a second. */
const ENDLESS: Partial<Scenario> = { fault: { kind: "endless-stream" }, ratePerSecond: 50 };

/** The upstream call that this one caused was ended by the relay, soon. */
async function upstreamLeft(seenBefore: number): Promise<void> {
  await until(() => upstream.seen[seenBefore]?.closedByPeerAt != null, 2_000);
}

describe.each(OPENAI_VERSIONS)("$name", ({ make }) => {
  let openai: OpenAI;
  beforeAll(() => {
    openai = make(relay);
  });

  async function fold(more: object = {}): Promise<ChunkFold> {
    const folded = new ChunkFold();
    const stream = await openai.chat.completions.create({ ...ASK, ...more, stream: true });
    for await (const chunk of stream) folded.push(chunk);
    return folded;
  }

  test("reads the same text chunk by chunk, by its helper and plain", async () => {
    upstream.setScenario({ text: "Héllo wörld, 你好 🙂", reasoning: 3 });
    const [choice] = (await fold()).choices;
    const helped = await helperOf(openai).stream(ASK).finalChatCompletion();
    const plain = await openai.chat.completions.create(ASK);
    expect(choice).toMatchObject({ text: "Héllo wörld, 你好 🙂", finish: "stop" });
    expect(choice?.reasoning).not.toBe("");
    expect(helped.choices[0]?.message).toMatchObject({ role: "assistant", content: choice?.text });
    expect(plain.choices[0]?.message).toMatchObject({ content: choice?.text, reasoning_content: expect.stringMatching(/\S/) as string });
    expect(plain.model).toBe("m");
    expect(plain.usage?.total_tokens).toBeGreaterThan(1);
    expect(plain._request_id).toMatch(/\S/);
  });

  test("gets the usage chunk when it asks for it, and no chunk without choices when it does not", async () => {
    const chunks = await collect(await openai.chat.completions.create({ ...ASK, stream: true }));
    expect(chunks.every((chunk) => chunk.choices.length === 1)).toBe(true);
    const asked = await collect(await openai.chat.completions.create({ ...ASK, stream: true, stream_options: { include_usage: true } }));
    expect(asked.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: expect.any(Number) as number } });
  });

  test("joins the pieces of tool calls", async () => {
    upstream.setScenario({ toolCalls: [WEATHER, { ...WEATHER, id: "call_2" }] });
    expect((await fold({ tools: TOOLS })).choices).toMatchObject([
      { tools: [WEATHER, { ...WEATHER, id: "call_2" }], finish: "tool_calls" },
    ]);
    const helped = await helperOf(openai)
      .stream({ ...ASK, tools: TOOLS })
      .finalChatCompletion();
    const plain = await openai.chat.completions.create({ ...ASK, tools: TOOLS });
    for (const whole of [helped, plain])
      expect(whole.choices[0]?.message.tool_calls).toMatchObject(
        ["call_1", "call_2"].map((id) => ({ id, type: "function", function: { name: "weather", arguments: WEATHER.arguments } })),
      );
  });

  test("gets two choices when it asks for two", async () => {
    upstream.setScenario({ text: "twice" });
    expect((await fold({ n: 2 })).choices.map((choice) => choice.text)).toEqual(["twice", "twice"]);
    const helped = await helperOf(openai)
      .stream({ ...ASK, n: 2 })
      .finalChatCompletion();
    const plain = await openai.chat.completions.create({ ...ASK, n: 2 });
    for (const whole of [helped, plain]) expect(whole.choices.map((choice) => choice.message.content)).toEqual(["twice", "twice"]);
  });

  test("makes embeddings", async () => {
    const { data, model } = await openai.embeddings.create({ model: "m", input: ["a", "b"] });
    expect(model).toBe("m");
    expect(data.map((each) => each.index)).toEqual([0, 1]);
    expect(Math.hypot(...(data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
  });

  test("lists the models and finds one", async () => {
    const listed: string[] = [];
    for await (const model of openai.models.list()) listed.push(model.id);
    expect(listed).toEqual(["m"]);
    expect(await openai.models.retrieve("m")).toMatchObject({ id: "m", object: "model" });
    await expect(openai.models.retrieve("nowhere")).rejects.toMatchObject({ status: 404, code: "model_not_found" });
  });

  test("hears of a wrong key and of an unknown model, once and in its own terms", async () => {
    const wrong = make({ url: relay.url, key: WRONG_KEY });
    const askedBefore = upstream.seen.length;
    for (const isStream of [false, true]) {
      const asked = { ...ASK, stream: isStream };
      await expect(wrong.chat.completions.create(asked)).rejects.toMatchObject({
        status: 401,
        type: "authentication_error",
        code: "key_invalid",
      });
      await expect(openai.chat.completions.create({ ...asked, model: "nowhere" })).rejects.toMatchObject({
        status: 404,
        code: "model_not_found",
        param: "model",
      });
    }
    expect(upstream.seen.length).toBe(askedBefore);
  });

  test("is told to wait by a throttled upstream, and by itself comes back after that time", async () => {
    const own = await startRelay({
      upstreams: { a: { simulator: { scenario: { fault: { kind: "status", status: 429, retryAfterMs: 1_000 } } } } },
    });
    try {
      await expect(make(own).chat.completions.create({ ...ASK, stream: true })).rejects.toMatchObject({
        status: 429,
        code: "rate_limited",
        type: "rate_limit_error",
        headers: expect.toSatisfy((headers: unknown) => headerOf(headers, "retry-after") === "1") as unknown,
      });
      own.simulators["a"]?.setScenario({ text: "at last" });
      const startedAt = performance.now();
      const again = await make(own).chat.completions.create(ASK, { maxRetries: 2 });
      expect(again.choices[0]?.message.content).toBe("at last");
      expect(performance.now() - startedAt).toBeGreaterThan(500);
    } finally {
      await own.close();
    }
  });

  test("does not retry what it should not", async () => {
    upstream.setScenario({ fault: { kind: "status", status: 400 } });
    const askedBefore = upstream.seen.length;
    await expect(openai.chat.completions.create(ASK, { maxRetries: 2 })).rejects.toMatchObject({
      status: 400,
      type: "invalid_request_error",
    });
    expect(upstream.seen.length).toBe(askedBefore + 1);
  });

  test("ends the upstream call by leaving in mid-stream, however it leaves", async () => {
    upstream.setScenario(ENDLESS);
    let askedBefore = upstream.seen.length;
    for await (const chunk of await openai.chat.completions.create({ ...ASK, stream: true })) if (chunk.choices.length > 0) break;
    await upstreamLeft(askedBefore);
    askedBefore = upstream.seen.length;
    const helper = helperOf(openai).stream(ASK);
    const failed = expect(helper.finalChatCompletion()).rejects.toThrow();
    helper.once("chunk", () => helper.abort());
    await failed;
    await upstreamLeft(askedBefore);
  });
});

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}

function headerOf(headers: unknown, name: string): unknown {
  return headers instanceof Headers ? headers.get(name) : (headers as Record<string, unknown>)[name];
}

describe("the Vercel AI SDK", () => {
  function provider(key = relay.key) {
    return createOpenAICompatible({ name: "millrace", baseURL: `${relay.url}/v1`, apiKey: key, includeUsage: true });
  }
  // The SDK's own types do not fit each other under `exactOptionalPropertyTypes`.
  const tools = { weather: tool({ inputSchema: jsonSchema(PARAMETERS) }) } as unknown as ToolSet;

  test("streams text, reasoning and usage, and gives the same text plain", async () => {
    upstream.setScenario({ text: "Héllo, miller. 你好", reasoning: 2 });
    const streamed = streamText({ model: provider()("m"), messages: MESSAGES });
    expect((await collect(streamed.textStream)).join("")).toBe("Héllo, miller. 你好");
    expect(await streamed.finishReason).toBe("stop");
    expect(await streamed.reasoningText).toMatch(/\S/);
    expect((await streamed.usage).outputTokens).toBeGreaterThan(1);
    const plain = await generateText({ model: provider()("m"), messages: MESSAGES });
    expect(plain.text).toBe("Héllo, miller. 你好");
  });

  test("calls tools, streamed and plain", async () => {
    upstream.setScenario({ toolCalls: [WEATHER] });
    const want = [{ toolCallId: "call_1", toolName: "weather", input: { city: "Bern", days: 3 } }];
    const streamed = streamText({ model: provider()("m"), messages: MESSAGES, tools });
    expect(await streamed.toolCalls).toMatchObject(want);
    expect((await generateText({ model: provider()("m"), messages: MESSAGES, tools })).toolCalls).toMatchObject(want);
  });

  test("makes an embedding", async () => {
    const { embedding } = await embed({ model: provider().embeddingModel("m"), value: "a" });
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
  });

  test("hears of a wrong key, of an unknown model and of a throttled upstream", async () => {
    const ask = (key: string, model: string) => generateText({ model: provider(key)(model), messages: MESSAGES, maxRetries: 0 });
    await expect(ask(WRONG_KEY, "m")).rejects.toMatchObject({ statusCode: 401, isRetryable: false });
    await expect(ask(relay.key, "nowhere")).rejects.toMatchObject({ statusCode: 404, isRetryable: false });
    const own = await startRelay({
      upstreams: { a: { simulator: { scenario: { fault: { kind: "status", status: 429, retryAfterMs: 2_000 } } } } },
    });
    try {
      const millrace = createOpenAICompatible({ name: "millrace", baseURL: `${own.url}/v1`, apiKey: own.key });
      await expect(generateText({ model: millrace("m"), messages: MESSAGES, maxRetries: 0 })).rejects.toMatchObject({
        statusCode: 429,
        isRetryable: true,
        responseHeaders: { "retry-after": "2" },
      });
    } finally {
      await own.close();
    }
  });

  test("ends the upstream call by aborting in mid-stream", async () => {
    upstream.setScenario(ENDLESS);
    const askedBefore = upstream.seen.length;
    const leave = new AbortController();
    const { textStream } = streamText({ model: provider()("m"), messages: MESSAGES, abortSignal: leave.signal, onError: () => undefined });
    const reading = (async () => {
      for await (const text of textStream) if (text !== "") leave.abort();
    })();
    await Promise.allSettled([reading]);
    await upstreamLeft(askedBefore);
  });
});
