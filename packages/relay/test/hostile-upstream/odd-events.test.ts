import { afterAll, beforeAll, expect, test } from "vitest";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { expectAtRest, guard } from "./guards.ts";
import type { Guard } from "./guards.ts";

const HEAD = '"id":"c","object":"chat.completion.chunk","created":1,"model":"m"';

function deep(levels: number): string {
  return "[".repeat(levels) + "]".repeat(levels);
}

function withDelta(delta: string): string {
  return `{${HEAD},"choices":[{"index":0,"delta":${delta},"finish_reason":null}]}`;
}

/** Well-formed JSON that no upstream should send; each comes between two good events. */
const ODD: readonly string[] = [
  "{}",
  "[]",
  "[{}]",
  '{"choices":null}',
  '{"choices":{}}',
  '{"choices":"x"}',
  '{"choices":[null]}',
  '{"choices":[[]]}',
  '{"choices":[1,"x",true]}',
  '{"choices":[{}]}',
  '{"choices":[{"index":0}]}',
  '{"choices":[{"index":-1,"delta":{"content":"x"}}]}',
  '{"choices":[{"index":1e308,"delta":{"content":"x"}}]}',
  '{"choices":[{"index":1e999,"delta":{"content":"x"}}]}',
  '{"choices":[{"index":"0","delta":{"content":"x"}}]}',
  '{"choices":[{"index":0,"delta":null}]}',
  '{"choices":[{"index":0,"delta":[]}]}',
  '{"choices":[{"index":0,"delta":"text"}]}',
  '{"choices":[{"index":0,"finish_reason":7}]}',
  '{"choices":[{"index":0,"finish_reason":""}]}',
  withDelta('{"content":null}'),
  withDelta('{"content":7}'),
  withDelta('{"content":{"a":1}}'),
  withDelta('{"content":["a",{"type":"text","text":"b"}]}'),
  withDelta('{"content":"\\ud800"}'),
  withDelta('{"content":"\\u0000\\u2028"}'),
  withDelta('{"role":7}'),
  withDelta('{"role":"assistant","role":"user"}'),
  withDelta('{"tool_calls":null}'),
  withDelta('{"tool_calls":{}}'),
  withDelta('{"tool_calls":[null,1,"x",[]]}'),
  withDelta('{"tool_calls":[{}]}'),
  withDelta('{"tool_calls":[{"index":-5}]}'),
  withDelta('{"tool_calls":[{"index":1e308,"id":null,"function":null}]}'),
  withDelta('{"tool_calls":[{"index":0,"id":7,"function":{"name":7,"arguments":{}}}]}'),
  withDelta('{"tool_calls":[{"index":"__proto__","id":"__proto__","function":{"name":"constructor"}}]}'),
  withDelta(`{"tool_calls":${deep(50_000)}}`),
  withDelta(`{"tool_calls":[{"id":"a","function":{"name":"f","arguments":${deep(50_000)}}}]}`),
  withDelta(`{"role":"assistant","content":${deep(100_000)}}`),
  withDelta('{"__proto__":{"content":"x"},"constructor":{"prototype":{"polluted":true}}}'),
  '{"__proto__":{"error":{"message":"x"}},"choices":[]}',
  '{"constructor":1,"hasOwnProperty":2,"toString":3}',
  '{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":1e400,"total_tokens":"7"}}',
  '{"choices":[],"usage":[]}',
  '{"choices":[],"usage":{"prompt_tokens":9007199254740993,"completion_tokens":0.5}}',
  '{"choices":[],"x_groq":7}',
  '{"choices":[],"x_groq":{"usage":"x"}}',
  `{"choices":[${'{"index":0,"delta":{"content":"x"}},'.repeat(5_000)}{}]}`,
  `{"choices":[],"x":${deep(400_000)}}`,
  '{"error":null}',
  `{${HEAD},"error":null,"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}`,
];

/** Well-formed JSON that says an error, in more words than one expects. */
const ERRORS: readonly string[] = [
  '{"error":{}}',
  '{"error":"x"}',
  '{"error":7}',
  '{"error":true}',
  '{"error":[]}',
  '[{"error":{"code":503,"status":"UNAVAILABLE"}}]',
  '{"object":"error","message":{"a":1}}',
  '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
  `{"error":{"message":${JSON.stringify("m".repeat(500_000))}}}`,
  '{"error":{"message":7,"type":{},"code":[],"param":false}}',
];

/** No JSON, or JSON that is no event at all. */
const NO_EVENTS: readonly string[] = [
  "7",
  '"x"',
  "null",
  "true",
  "{",
  "nonsense",
  '{"a":1}}',
  "[DONE",
  "[done]",
  "NaN",
  "{'a':1}",
  "\u0000",
];

const watch: Guard = guard();
let relay: TestRelay;

beforeAll(async () => {
  relay = await startRelay({
    upstreams: {
      a: {
        model: "inner",
        simulator: {
          script: (request) => {
            const odd = [...ODD, ...ERRORS, ...NO_EVENTS][(request.json as { x_case: number }).x_case] ?? "";
            const events = [
              withDelta('{"role":"assistant","content":""}'),
              withDelta('{"content":"before"}'),
              odd,
              withDelta('{"content":"after"}'),
              `{${HEAD},"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
              "[DONE]",
            ];
            const body = Buffer.from(events.map((event) => `data: ${event}\n\n`).join(""));
            return { raw: { headers: { "content-type": "text/event-stream" }, body, end: "clean" } };
          },
        },
      },
    },
  });
});

afterAll(async () => {
  await relay.close();
  watch.stop();
});

function ask(at: number): Promise<Answer> {
  return call(relay, { body: { model: "m", stream: true, messages: MESSAGES, x_case: at } });
}

function titled(events: readonly string[], from: number): { title: string; at: number }[] {
  return events.map((event, i) => ({ title: JSON.stringify(event.length > 90 ? `${event.slice(0, 90)}...` : event), at: from + i }));
}

test.each(titled(ODD, 0))("an odd event does no harm to the rest: $title", async ({ at }) => {
  const answer = await ask(at);
  expect(answer).toMatchObject({ status: 200, isWhole: true });
  expect(answer.body).toContain('"before"');
  expect(answer.body).toContain('"after"');
  expect(answer.body.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test.each(titled(ERRORS, ODD.length))("an error in any words ends the stream as an error: $title", async ({ at }) => {
  const answer = await ask(at);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(answer.body).not.toContain('"after"');
  expect(errorOf(answer).code).toBe("upstream_failed");
});

test.each(titled(NO_EVENTS, ODD.length + ERRORS.length))("what is no event ends the stream as an error: $title", async ({ at }) => {
  const answer = await ask(at);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(answer.body).not.toContain('"after"');
  expect(answer.body).not.toContain("[DONE]");
  expect(errorOf(answer).code).toBe("upstream_failed");
});

test("afterwards nothing is in flight and nothing was thrown", () => expectAtRest(relay, watch));
