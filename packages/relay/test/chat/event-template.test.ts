import fc from "fast-check";
import { expect, test } from "vitest";
import { EventTemplate } from "../../src/chat/event-template.ts";
import { openaiCompatible } from "../../src/provider/openai-compatible.ts";

const KEYS = openaiCompatible.textKeys;

function read(data: Buffer): ReturnType<typeof openaiCompatible.read> | null {
  try {
    return openaiCompatible.read(JSON.parse(data.toString("utf8")));
  } catch {
    return null;
  }
}

function learnt(event: object): EventTemplate {
  const template = new EventTemplate(KEYS);
  const data = Buffer.from(JSON.stringify(event));
  template.learn(data, openaiCompatible.read(event));
  return template;
}

const chunk = (delta: object, more: object = {}): object => ({
  id: "c1",
  object: "chat.completion.chunk",
  model: "m",
  choices: [{ index: 0, delta, finish_reason: null, ...more }],
});

test("an event that differs in its text alone is known again, with the size of its text", () => {
  const template = learnt(chunk({ content: "Hello" }));
  expect(template.matches(Buffer.from(JSON.stringify(chunk({ content: "你好 \n\u{1f44b}" }))))).toBe(true);
  expect(template.textUnits).toBe("你好 \\n\u{1f44b}".length);
  expect(template.matches(Buffer.from(JSON.stringify(chunk({ content: "" }))))).toBe(false);
  expect(template.matches(Buffer.from(JSON.stringify(chunk({ content: "x" }, { finish_reason: "stop" }))))).toBe(false);
  expect(template.matches(Buffer.from("[DONE]"))).toBe(false);
});

test("an event whose text stands twice, or that says more than text, is not learnt", () => {
  for (const event of [
    chunk({ content: "x" }, { finish_reason: "stop" }),
    chunk({ content: "same", x: { content: "same" } }),
    chunk({ content: "a", reasoning_content: "b" }),
    { ...chunk({ content: "x" }), usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
    chunk({ role: "assistant", content: "" }),
  ]) {
    const data = Buffer.from(JSON.stringify(event));
    expect(learnt(event).matches(data)).toBe(false);
  }
});

test("whatever it knows again, a full reading says the same", () => {
  const word = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.constantFrom('"', "\\", '","finish_reason":"stop', "\n", "\u0000", "é", "\ud800"),
  );
  const event = fc.record({
    key: fc.constantFrom("content", "reasoning_content", "reasoning"),
    first: word,
    second: word,
    finish: fc.constantFrom(null, null, null, "stop"),
    extra: fc.constantFrom({}, { reasoning_content: null }, { content: null }, { content: "" }, { role: "assistant" }),
    mutateAt: fc.nat(),
    mutateTo: fc.option(fc.nat(255), { freq: 2 }),
  });
  fc.assert(
    fc.property(event, ({ key, first, second, finish, extra, mutateAt, mutateTo }) => {
      const template = learnt(chunk({ ...extra, [key]: first }));
      const data = Buffer.from(JSON.stringify(chunk({ ...extra, [key]: second }, { finish_reason: finish })));
      if (mutateTo !== null) data[mutateAt % data.length] = mutateTo;
      if (!template.matches(data)) return;
      const facts = read(data);
      expect(facts).toMatchObject({ error: null, hasContent: true, finished: [], usage: null, isUsageOnly: false, choices: [0] });
      expect(facts?.text).not.toBe("");
      expect(template.textBytes).toBeGreaterThan(0);
    }),
    { numRuns: 5_000 },
  );
});
