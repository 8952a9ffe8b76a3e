import { createParser } from "eventsource-parser";
import { expect, test } from "vitest";

import type { Framing, Scenario } from "../../src/simulator/scenario.ts";
import { readStamp } from "../../src/simulator/stamp.ts";
import { chat, chunksOf, contentOf, dataOf, post, simulated } from "./simulated.ts";

test("a stream has OpenAI's shape: role, deltas, finish, [DONE], and one id throughout", async () => {
  const simulator = await simulated({ scenario: { text: "Hello there, miller." } });
  const { text, headers } = await chat(simulator, { stream: true });
  expect(headers.get("content-type")).toContain("text/event-stream");
  expect(dataOf(text).at(-1)).toBe("[DONE]");
  const chunks = chunksOf(text);
  expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "", refusal: null });
  expect(contentOf(chunks)).toBe("Hello there, miller.");
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop");
  expect(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.model}`)).size).toBe(1);
  expect(chunks.every((chunk) => chunk.object === "chat.completion.chunk")).toBe(true);
  expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
});

test("the default answer says what it is and repeats the question's first words", async () => {
  const { text } = await chat(await simulated(), { stream: true });
  expect(contentOf(chunksOf(text))).toContain("simulator");
  expect(contentOf(chunksOf(text))).toContain('"what is a mill race?"');
});

test("a plain answer says the same words as the stream, with usage", async () => {
  const simulator = await simulated({ scenario: { events: 12 } });
  const body = JSON.parse((await chat(simulator)).text) as Record<string, never>;
  expect(body).toMatchObject({
    object: "chat.completion",
    model: "m",
    choices: [{ index: 0, message: { role: "assistant" }, finish_reason: "stop" }],
    usage: { prompt_tokens: 5, completion_tokens: 12, total_tokens: 17 },
  });
});

test("the same seed and body give the same bytes; another seed or body gives others", async () => {
  const scenario = { events: [5, 50] as const, reasoning: 2 };
  const one = await simulated({ seed: 7, scenario });
  const two = await simulated({ seed: 7, scenario });
  const other = await simulated({ seed: 8, scenario });
  const first = (await chat(one, { stream: true })).text;
  expect((await chat(one, { stream: true })).text).toBe(first);
  expect((await chat(two, { stream: true })).text).toBe(first);
  expect((await chat(other, { stream: true })).text).not.toBe(first);
  expect((await chat(one, { stream: true, user: "x" })).text).not.toBe(first);
});

test("OpenAI's usage comes in a chunk of its own, only when asked for", async () => {
  const simulator = await simulated({ scenario: { text: "one two" } });
  const { text } = await chat(simulator, { stream: true, stream_options: { include_usage: true } });
  const chunks = chunksOf(text);
  expect(chunks.at(-1)).toMatchObject({
    choices: [],
    usage: { completion_tokens: 2, prompt_tokens_details: {} },
  });
  expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
});

test("DeepSeek's usage rides on the finish chunk, unasked, with cache hit and miss", async () => {
  const scenario: Partial<Scenario> = {
    usage: "finish",
    reasoning: 2,
    text: "ok",
    tokens: { prompt: 20, cached: 16 },
  };
  const chunks = chunksOf((await chat(await simulated({ scenario }), { stream: true })).text);
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop");
  expect(chunks.at(-1)?.usage).toEqual({
    prompt_tokens: 20,
    completion_tokens: 3,
    total_tokens: 23,
    prompt_tokens_details: { cached_tokens: 16 },
    completion_tokens_details: { reasoning_tokens: 2 },
    prompt_cache_hit_tokens: 16,
    prompt_cache_miss_tokens: 4,
  });
  expect(chunks[0]?.choices[0]?.delta).toEqual({
    role: "assistant",
    content: null,
    reasoning_content: "",
  });
  expect(chunks[1]?.choices[0]?.delta.content).toBeNull();
  expect(chunks[3]?.choices[0]?.delta).toEqual({ content: "ok", reasoning_content: null });
});

test("the other usage styles: both, every chunk, x_groq, never", async () => {
  const simulator = await simulated();
  const usages = async (usage: Scenario["usage"]): Promise<readonly (number | string)[]> => {
    simulator.setScenario({ usage, text: "a b" });
    const { text } = await chat(simulator, {
      stream: true,
      stream_options: { include_usage: true },
    });
    return chunksOf(text).map((chunk) => (chunk.x_groq === undefined ? Number(chunk.usage?.["completion_tokens"] ?? -1) : "groq"));
  };
  expect(await usages("both")).toEqual([-1, -1, -1, 2, 2]);
  expect(await usages("every-chunk")).toEqual([0, 1, 2, 2, 2]);
  expect(await usages("x_groq")).toEqual([-1, -1, -1, "groq"]);
  expect(await usages("never")).toEqual([-1, -1, -1, -1]);
});

test("tool calls come in pieces that join to the same arguments", async () => {
  const args = JSON.stringify({ city: "Zürich", days: [1, 2, 3] });
  const scenario = { toolCalls: [{ id: "call_1", name: "weather", arguments: args }] };
  const simulator = await simulated({ scenario });
  const chunks = chunksOf((await chat(simulator, { stream: true })).text);
  const calls = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
  expect(calls[0]).toMatchObject({
    index: 0,
    id: "call_1",
    type: "function",
    function: { name: "weather" },
  });
  expect(calls.filter((call) => call.id !== undefined)).toHaveLength(1);
  expect(calls.map((call) => call.function.arguments).join("")).toBe(args);
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("tool_calls");
  const plain = JSON.parse((await chat(simulator)).text) as { choices: { message: object }[] };
  expect(plain.choices[0]?.message).toMatchObject({
    content: null,
    tool_calls: [{ function: { arguments: args } }],
  });
});

test("n choices interleave and finish each on their own; max_tokens ends them with length", async () => {
  const simulator = await simulated({ scenario: { events: 6 } });
  const chunks = chunksOf((await chat(simulator, { stream: true, n: 3, max_tokens: 4 })).text);
  const finishes = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.finish_reason !== null);
  expect(finishes.map((choice) => [choice.index, choice.finish_reason])).toEqual([
    [0, "length"],
    [1, "length"],
    [2, "length"],
  ]);
  expect(contentOf(chunks, 1).trim().split(" ")).toHaveLength(4);
  expect(contentOf(chunks, 1)).not.toBe(contentOf(chunks, 0));
});

test("the role can be in the first delta, in every delta or nowhere", async () => {
  const simulator = await simulated();
  const roles = async (roleChunk: Scenario["roleChunk"]): Promise<number> => {
    simulator.setScenario({ roleChunk, text: "a b c" });
    const { text } = await chat(simulator, { stream: true });
    return chunksOf(text).filter((chunk) => chunk.choices[0]?.delta.role === "assistant").length;
  };
  expect([await roles("own"), await roles("withContent"), await roles("everyChunk"), await roles("never")]).toEqual([1, 1, 3, 0]);
});

test("every framing carries the same events through a standard parser", async () => {
  const simulator = await simulated();
  const framings: Framing[] = ["lf", "crlf", "cr", "bom", "no-space", "two-data-lines", "ids", "event-names", "retry"];
  for (const framing of framings) {
    simulator.setScenario({
      framing,
      text: 'Hé said: "a,b","c"\nline two',
      oneBytePerWrite: framing === "crlf",
    });
    const { text } = await chat(simulator, {
      stream: true,
      stream_options: { include_usage: true },
    });
    const events: string[] = [];
    createParser({ onEvent: (event) => events.push(event.data) }).feed(text);
    expect(events.at(-1), framing).toBe("[DONE]");
    const chunks = events.slice(0, -1).map((data) => JSON.parse(data) as never);
    expect(contentOf(chunks), framing).toBe('Hé said: "a,b","c"\nline two');
  }
});

test("chunking cuts the text as asked and padding reaches the size asked", async () => {
  const simulator = await simulated();
  const deltas = async (scenario: Partial<Scenario>): Promise<readonly string[]> => {
    simulator.setScenario(scenario);
    const chunks = chunksOf((await chat(simulator, { stream: true })).text);
    return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").filter((text) => text !== "");
  };
  expect(await deltas({ text: "héy you 👋", chunking: "character" })).toEqual([..."héy you 👋"]);
  expect(await deltas({ text: "héy you 👋", chunking: 4 })).toEqual(["héy ", "you ", "👋"]);
  expect(await deltas({ text: "  a b\n", chunking: "word" })).toEqual(["  a", " b\n"]);
  expect(await deltas({ events: 3, eventBytes: 50 })).toSatisfy(
    (texts: readonly string[]) => texts.length === 3 && texts.every((text) => text.length === 50),
  );
});

test("a stamp tells a send time on this machine's monotonic clock, in order", async () => {
  const simulator = await simulated({
    scenario: { stampSendTime: true, events: 5, ratePerSecond: 200 },
  });
  const before = process.hrtime.bigint();
  const { text } = await chat(simulator, { stream: true });
  const stamps = chunksOf(text).flatMap((chunk) => readStamp(chunk.choices[0]?.delta.content ?? "") ?? []);
  expect(stamps).toHaveLength(5);
  expect(stamps.every((stamp) => stamp > before && stamp < process.hrtime.bigint())).toBe(true);
  expect(chunksOf(text).at(-1)?.choices[0]?.finish_reason).toBe("stop");
  expect(Number((stamps[4] ?? 0n) - (stamps[0] ?? 0n))).toBeGreaterThan(15_000_000);
});

test("the old completions endpoint streams text and ends alike", async () => {
  const simulator = await simulated({ scenario: { text: "said in full" } });
  const { text } = await post(simulator, "completions", { prompt: "x", stream: true });
  const chunks = chunksOf(text);
  expect(chunks.map((chunk) => chunk.choices[0]?.text).join("")).toBe("said in full");
  expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop");
  expect(chunks[0]?.object).toBe("text_completion");
  const plain = JSON.parse((await post(simulator, "completions", { prompt: "x" })).text) as object;
  expect(plain).toMatchObject({ object: "text_completion", choices: [{ text: "said in full" }] });
});

test("embeddings are unit vectors, the same as floats and as base64", async () => {
  const simulator = await simulated();
  const ask = async (body: object): Promise<{ data: { embedding: never }[] }> =>
    JSON.parse((await post(simulator, "embeddings", { input: ["a", "b"], ...body })).text) as never;
  const floats = (await ask({ dimensions: 16 })).data.map((item) => item.embedding as number[]);
  const coded = (await ask({ dimensions: 16, encoding_format: "base64" })).data.map((item) => item.embedding as string);
  expect(floats).toHaveLength(2);
  expect(Math.hypot(...(floats[0] ?? []))).toBeCloseTo(1, 5);
  const bytes = Buffer.from(coded[1] ?? "", "base64");
  expect(Array.from({ length: 16 }, (_, at) => bytes.readFloatLE(at * 4))).toEqual(floats[1]);
  expect(floats[0]).not.toEqual(floats[1]);
});
