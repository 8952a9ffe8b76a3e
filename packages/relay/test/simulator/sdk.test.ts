import OpenAI from "openai7";
import { expect, test } from "vitest";

import { DEEPSEEK_SCENARIO } from "../../src/simulator/scenario.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { simulated } from "./simulated.ts";

const ASKED = { model: "m", messages: [{ role: "user" as const, content: "hi" }] };

function client(simulator: Simulator): OpenAI {
  return new OpenAI({ baseURL: simulator.url, apiKey: "sk-any", maxRetries: 0, timeout: 5000 });
}

test("OpenAI's own client reads the stream, its helper and the plain answer alike", async () => {
  const openai = client(await simulated({ scenario: { text: "Héllo, miller." } }));
  let text = "";
  for await (const chunk of await openai.chat.completions.create({ ...ASKED, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  const helped = await openai.chat.completions.stream(ASKED).finalChatCompletion();
  const plain = await openai.chat.completions.create(ASKED);
  expect(text).toBe("Héllo, miller.");
  expect(helped.choices[0]?.message.content).toBe(text);
  expect(plain.choices[0]?.message.content).toBe(text);
  expect(plain.usage?.total_tokens).toBeGreaterThan(1);
});

test("OpenAI's own client joins tool calls, decodes embeddings and lists models", async () => {
  const toolCalls = [{ id: "call_1", name: "weather", arguments: '{"city":"Bern"}' }];
  const openai = client(await simulated({ scenario: { toolCalls } }));
  const called = await openai.chat.completions.stream(ASKED).finalChatCompletion();
  expect(called.choices[0]?.message.tool_calls).toMatchObject([
    { id: "call_1", function: { name: "weather", arguments: '{"city":"Bern"}' } },
  ]);
  const embedded = await openai.embeddings.create({ model: "m", input: "a" });
  expect(Math.hypot(...(embedded.data[0]?.embedding ?? []))).toBeCloseTo(1, 5);
  expect((await openai.models.list()).data.length).toBeGreaterThan(0);
});

test("OpenAI's own client reads DeepSeek's shape, comments and all", async () => {
  const keepAlive = { text: ": keep-alive", everyMs: 10, blankLine: true };
  const openai = client(await simulated({ scenario: { ...DEEPSEEK_SCENARIO, ttftMs: 35, keepAlive, text: "ok then" } }));
  let text = "";
  let usage: unknown;
  for await (const chunk of await openai.chat.completions.create({ ...ASKED, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  expect(text).toBe("ok then");
  expect(usage).toMatchObject({ prompt_cache_hit_tokens: 0 });
});

test("OpenAI's own client raises errors in a stream and a reset", async () => {
  const simulator = await simulated();
  for (const fault of [
    { kind: "error-event", afterEvents: 2 },
    { kind: "rst", bytes: 700 },
  ] as const) {
    simulator.setScenario({ fault });
    const stream = await client(simulator).chat.completions.create({ ...ASKED, stream: true });
    const read = async (): Promise<void> => {
      for await (const chunk of stream) expect(chunk.object).toBe("chat.completion.chunk");
    };
    await expect(read()).rejects.toThrow();
  }
});
