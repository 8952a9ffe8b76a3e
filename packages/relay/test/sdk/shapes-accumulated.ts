/** What accumulating helpers of the SDKs trip over. */
import { chunk, delta, DONE, event, events, FINISH, ROLE, said, shapeMaker, text } from "./shape.ts";
import type { Shape } from "./shape.ts";

const make = shapeMaker("helpers", "Hello");

const LAST = event(DONE);
const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };
const NO_USAGE = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
const CALL = { id: "call_a", name: "f", arguments: '{"a":1}' };
const CALLED = [said("", { tools: [CALL], finish: "tool_calls" })];
const OTHER_HEAD = { id: "chatcmpl-2", model: "m2" };

function tool(call: object, madeOf: object): string {
  return delta({ tool_calls: [{ ...call, function: madeOf }] });
}

function called(...chunks: readonly string[]): string[] {
  return [...events(delta({ role: "assistant", content: null }), ...chunks, delta({}, "tool_calls")), LAST];
}

export const ACCUMULATED_SHAPES: readonly Shape[] = [
  make("s-id-change", "s_failover_id_change", [
    ...events(ROLE, text("Hel"), delta({ content: "lo" }, null, OTHER_HEAD), delta({}, "stop", OTHER_HEAD)),
    LAST,
  ]),
  make("s-role-twice", "s_role_twice", [
    ...events(ROLE, delta({ role: "assistant", content: "Hel" }), delta({ role: "assistant", content: "lo" }), FINISH),
    LAST,
  ]),
  make("s-role-null", "s_role_null", [...events(ROLE, delta({ role: null, content: "Hel" }), text("lo"), FINISH), LAST]),
  make("s-no-finish", "s_no_finish", [...events(ROLE, text("Hel")), LAST], {
    helperExpect: "either",
    answer: [said("Hel", { finish: null })],
  }),
  make("s-no-role", "s_no_role", [...events(text("Hel"), FINISH), LAST], { helperExpect: "either", answer: [said("Hel")] }),
  make("s-finish-error", "s_finish_error", [...events(ROLE, text("Hel"), delta({}, "error")), LAST], { code: "upstream_failed" }),
  make("s-after-finish", "s_after_finish_content", [...events(ROLE, text("Hel"), FINISH, text("XX")), LAST], { answer: [said("HelXX")] }),
  make("s-two-finishes", "s_two_finishes", [...events(ROLE, text("Hello"), FINISH, FINISH), LAST]),
  make(
    "s-tool-split",
    "s_tool_split",
    called(
      tool({ index: 0, id: "call_a", type: "function" }, { name: "f", arguments: "" }),
      tool({ index: 0 }, { arguments: '{"a' }),
      tool({ index: 0 }, { arguments: '":1}' }),
    ),
    { answer: CALLED },
  ),
  make(
    "s-tool-id-repeated",
    "s_tool_id_repeated",
    called(
      tool({ index: 0, id: "call_a", type: "function" }, { name: "f", arguments: '{"a' }),
      tool({ index: 0, id: "call_a", type: "function" }, { name: "f", arguments: '":1}' }),
    ),
    { answer: CALLED },
  ),
  make(
    "s-tool-no-index",
    "s_tool_no_index",
    called(tool({ id: "call_a", type: "function" }, { name: "f", arguments: '{"a' }), tool({}, { arguments: '":1}' })),
    { answer: CALLED },
  ),
  make(
    "s-tools-no-index",
    "s_tool_no_index, two calls in one chunk",
    called(
      delta({
        tool_calls: [
          { id: "call_a", type: "function", function: { name: "f", arguments: '{"a":1}' } },
          { id: "call_b", type: "function", function: { name: "f", arguments: '{"b":[{"id":"x"}]}' } },
        ],
      }),
    ),
    { answer: [said("", { tools: [CALL, { id: "call_b", name: "f", arguments: '{"b":[{"id":"x"}]}' }], finish: "tool_calls" })] },
  ),
  make(
    "s-reasoning",
    "s_reasoning_then_text",
    [
      ...events(
        delta({ role: "assistant", content: null, reasoning_content: "" }),
        delta({ content: null, reasoning_content: "hm" }),
        delta({ content: "ok", reasoning_content: null }),
        delta({ content: "", reasoning_content: null }, "stop", { usage: USAGE }),
      ),
      LAST,
    ],
    { answer: [said("ok", { reasoning: "hm" })] },
  ),
  make(
    "s-usage-every",
    "s_usage_zero_every",
    [
      ...events(
        delta({ role: "assistant", content: "" }, null, { usage: NO_USAGE }),
        delta({ content: "a" }, null, { usage: NO_USAGE }),
        delta({}, "stop", { usage: USAGE }),
      ),
      LAST,
    ],
    { answer: [said("a")] },
  ),
  make(
    "s-azure-first",
    "s_azure_first",
    [
      event('{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}'),
      ...events(ROLE, text("Hi"), FINISH),
      LAST,
    ],
    { answer: [said("Hi")] },
  ),
  make(
    "s-n2",
    "s_n2",
    [
      ...events(
        chunk([0, 1].map((index) => ({ index, delta: { role: "assistant", content: "" } }))),
        chunk([{ index: 1, delta: { content: "b" } }]),
        chunk([{ index: 0, delta: { content: "a" } }]),
        chunk([{ index: 0, delta: {}, finish: "stop" }]),
        chunk([{ index: 1, delta: {}, finish: "stop" }]),
      ),
      LAST,
    ],
    { choicesAsked: 2, answer: [said("a"), said("b")] },
  ),
  make(
    "s-n2-one-finished",
    "s_n2, then a clean EOF with one choice unfinished",
    events(
      chunk([0, 1].map((index) => ({ index, delta: { role: "assistant", content: "a" } }))),
      chunk([{ index: 0, delta: {}, finish: "stop" }]),
    ),
    { choicesAsked: 2, code: "upstream_truncated" },
  ),
  make(
    "s-top-extra",
    "s_top_extra",
    [...events(delta({ role: "assistant", content: "" }, null, { x_top: { deep: [1, "a"] } }), text("Hi"), FINISH), LAST],
    { answer: [said("Hi")] },
  ),
];
