import { foldAnthropic } from "@millrace/wire/fold-anthropic";
import { foldGemini } from "@millrace/wire/fold-gemini";
import type { BodyEnd } from "@millrace/wire/fold-openai";
import { foldOpenAI, OpenAIFold, readOpenAIBody } from "@millrace/wire/fold-openai";
import type { SseEvent } from "@millrace/wire/sse-reader";
import { describe, expect, it } from "vitest";

function event(data: unknown, name = "message"): SseEvent {
  return {
    event: name,
    data: typeof data === "string" ? data : JSON.stringify(data),
    lastEventId: "",
  };
}

function openAI(data: readonly unknown[], end: BodyEnd = "eof") {
  return foldOpenAI(
    data.map((each) => event(each)),
    end,
  );
}

function delta(content: string, finish: string | null = null) {
  return { choices: [{ index: 0, delta: { content }, finish_reason: finish }] };
}

describe("an OpenAI stream", () => {
  it("is truncated when the connection breaks after the finish reason but before [DONE]", () => {
    const data = [delta("a"), delta("", "stop")];
    expect(openAI(data, "eof")).toMatchObject({ outcome: "complete", warnings: ["missing_done"] });
    expect(openAI(data, "reset")).toMatchObject({ outcome: "truncated", warnings: [] });
    expect(openAI([...data, "[DONE]"], "reset")).toMatchObject({ outcome: "complete" });
  });

  it("is truncated when only one of two choices finished", () => {
    const two = { choices: [{ index: 1, delta: { content: "b" }, finish_reason: null }] };
    expect(openAI([delta("a", "stop"), two])).toMatchObject({ outcome: "truncated" });
    expect(openAI([delta("a", "stop"), two, "[DONE]"])).toMatchObject({
      outcome: "complete",
      warnings: ["missing_finish_reason"],
    });
  });

  it("takes [DONE] with white space around it, and nothing after it", () => {
    const result = openAI([delta("a", "stop"), " [DONE] ", delta("late"), { error: { message: "late" } }]);
    expect(result).toMatchObject({
      outcome: "complete",
      sawDone: true,
      warnings: ["data_after_done"],
      error: null,
    });
    expect(result.choices[0]?.text).toBe("a");
  });

  it("without any event is truncated, and blank only when white space came", () => {
    expect(openAI([])).toMatchObject({ outcome: "truncated", choices: [], warnings: [] });
    expect(openAI([delta("", "stop"), "[DONE]"]).warnings).toEqual([]);
    expect(openAI([delta(" \n", "stop"), "[DONE]"]).warnings).toEqual(["blank_answer"]);
  });

  it.each(["not json", "[1]", '"text"', "null", ""])("ends at data that is %j", (data) => {
    const result = openAI([delta("kept"), data, delta("lost"), "[DONE]"]);
    expect(result).toMatchObject({ outcome: "protocol_error", sawDone: false });
    expect(result.choices[0]?.text).toBe("kept");
  });

  it.each(["error", "insufficient_system_resource"])("fails by the finish reason %s", (reason) => {
    const result = openAI([delta("part"), delta("", reason), "[DONE]"]);
    expect(result).toMatchObject({ outcome: "error", error: null, sawDone: false });
    expect(result.choices[0]).toMatchObject({ text: "part", finishReason: reason });
  });

  it("fails by an error of any shape, but not by a null one", () => {
    expect(openAI([{ error: "text" }])).toMatchObject({ outcome: "error", error: "text" });
    const flat = { object: "error", message: "m", type: "t" };
    expect(openAI([flat])).toMatchObject({ outcome: "error", error: flat });
    expect(openAI([{ ...delta("a", "stop"), error: null }])).toMatchObject({ outcome: "complete" });
  });

  it("fails by an event named error, whatever it holds", () => {
    const fold = (data: unknown) => foldOpenAI([event(data, "error")], "eof");
    expect(fold({ error: { code: 1 } })).toMatchObject({ outcome: "error", error: { code: 1 } });
    expect(fold({ message: "m" })).toMatchObject({ outcome: "error", error: { message: "m" } });
    expect(fold("plain words")).toMatchObject({
      outcome: "error",
      error: { message: "plain words" },
    });
  });

  it("loses no text to an event name, and notes the name", () => {
    const events = [event({}, "ping"), event("pong", "ping"), event(delta("a", "stop"), "chunk"), event("[DONE]")];
    const result = foldOpenAI(events, "eof");
    expect(result).toMatchObject({ outcome: "complete", warnings: ["unknown_event"] });
    expect(result.choices[0]?.text).toBe("a");
  });

  it("keeps the first id and name of a tool call and never repairs its arguments", () => {
    const call = (index: number, id: string, name: string, args: string) => ({
      choices: [{ index: 0, delta: { tool_calls: [{ index, id, function: { name, arguments: args } }] } }],
    });
    const data = [call(1, "", "", "{"), call(1, "b", "two", '"x'), call(0, "a", "one", ""), call(1, "c", "3", "")];
    expect(openAI(data).choices[0]?.toolCalls).toEqual([
      { index: 0, id: "a", name: "one", arguments: "" },
      { index: 1, id: "b", name: "two", arguments: '{"x' },
    ]);
  });

  it("can be asked for the answer so far", () => {
    const fold = new OpenAIFold();
    fold.push(event(delta("a")));
    expect(fold.result("eof").choices[0]?.text).toBe("a");
    fold.push(event(delta("b", "stop")));
    expect(fold.result("eof")).toMatchObject({ outcome: "complete", choices: [{ text: "ab" }] });
  });

  it("sent as a plain body is an answer, an error or neither", () => {
    expect(readOpenAIBody('{"choices":[]}').outcome).toBe("complete");
    expect(readOpenAIBody('{"error":"x"}').outcome).toBe("error");
    expect(readOpenAIBody("<html>")).toEqual({ json: null, outcome: "protocol_error" });
  });
});

describe("an Anthropic stream", () => {
  const typed = (body: { readonly type: string; readonly [key: string]: unknown }) => event(body, body.type);
  const stop = [
    typed({
      type: "message_delta",
      delta: { stop_reason: "end_turn" },
      usage: { output_tokens: 7, input_tokens: null },
    }),
    typed({ type: "message_stop" }),
  ];
  const start = (index: number, block: unknown) => typed({ type: "content_block_start", index, content_block: block });
  const piece = (index: number, change: unknown) => typed({ type: "content_block_delta", index, delta: change });

  it("is complete by message_stop alone, however the body ends", () => {
    expect(foldAnthropic(stop, "reset")).toMatchObject({ outcome: "complete", sawDone: true });
    expect(foldAnthropic(stop.slice(0, 1), "eof")).toMatchObject({ outcome: "truncated" });
    expect(foldAnthropic([...stop, event("[DONE]")], "eof").warnings).toEqual([]);
    expect(foldAnthropic([...stop, event({ type: "ping" })], "eof").warnings).toEqual(["data_after_done"]);
  });

  it("shows thinking as reasoning and keeps its signature", () => {
    const result = foldAnthropic(
      [
        start(0, { type: "thinking", thinking: "" }),
        piece(0, { type: "thinking_delta", thinking: "hm" }),
        piece(0, { type: "signature_delta", signature: "s1" }),
        start(1, { type: "redacted_thinking", data: "zz" }),
        start(2, { type: "text", text: "" }),
        piece(2, { type: "text_delta", text: "ok" }),
        piece(2, { type: "citations_delta", citation: {} }),
        piece(2, { type: "constructor" }),
        ...stop,
      ],
      "eof",
    );
    expect(result.blocks).toEqual([
      { index: 0, type: "thinking", thinking: "hm", signature: "s1" },
      { index: 1, type: "redacted_thinking", data: "zz" },
      { index: 2, type: "text", text: "ok" },
    ]);
    expect(result.asOpenAI).toMatchObject({ reasoning: "hm", text: "ok", finishReason: "stop" });
    expect(result.warnings).toEqual([]);
  });

  it("takes the last usage that is not null, key by key", () => {
    const begin = typed({
      type: "message_start",
      message: { usage: { input_tokens: 5, output_tokens: 1 } },
    });
    expect(foldAnthropic([begin, ...stop], "eof").usage).toEqual({
      input_tokens: 5,
      output_tokens: 7,
    });
    expect(foldAnthropic([], "eof").usage).toBeNull();
  });

  it.each([
    ["stop_sequence", "stop"],
    ["pause_turn", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["tool_use", "tool_calls"],
    ["refusal", "content_filter"],
    ["constructor", "stop"],
  ])("shows the stop reason %s as %s", (stopReason, finishReason) => {
    const events = [typed({ type: "message_delta", delta: { stop_reason: stopReason } })];
    expect(foldAnthropic(events, "eof").asOpenAI.finishReason).toBe(finishReason);
  });

  it("ends at data that is not JSON, and notes events it does not know", () => {
    expect(foldAnthropic([event("oops"), ...stop], "eof").outcome).toBe("protocol_error");
    expect(foldAnthropic([typed({ type: "news" }), ...stop], "eof").warnings).toEqual(["unknown_event"]);
  });

  it("fails by a body of type error without an event name", () => {
    const error = { type: "overloaded_error", message: "m" };
    expect(foldAnthropic([event({ type: "error", error })], "eof")).toMatchObject({
      outcome: "error",
      error,
    });
  });
});

describe("a Gemini stream", () => {
  const answer = (finishReason: string | null, parts: unknown[] = [{ text: "a" }]) =>
    event({ candidates: [{ content: { parts }, ...(finishReason !== null && { finishReason }) }] });

  it("is complete by a finish reason and a clean end", () => {
    expect(foldGemini([answer("STOP")], "eof").outcome).toBe("complete");
    expect(foldGemini([answer("STOP")], "reset").outcome).toBe("truncated");
    expect(foldGemini([answer(null)], "eof").outcome).toBe("truncated");
  });

  it("is blocked when the prompt was refused", () => {
    const result = foldGemini([event({ promptFeedback: { blockReason: "SAFETY" } })], "eof");
    expect(result).toMatchObject({ outcome: "blocked", blockReason: "SAFETY", finishReason: null });
    expect(result.asOpenAI).toMatchObject({ finishReason: "content_filter", text: "" });
  });

  it("shows function calls as tool calls, with ids where they are missing", () => {
    const parts = [{ functionCall: { name: "f", args: { x: 1 } } }, { functionCall: { name: "g", id: "own" } }];
    expect(foldGemini([answer("STOP", parts)], "eof").asOpenAI).toMatchObject({
      finishReason: "tool_calls",
      toolCalls: [
        { index: 0, id: "call_0", name: "f", arguments: '{"x":1}' },
        { index: 1, id: "own", name: "g", arguments: "{}" },
      ],
    });
  });

  it.each([
    ["MAX_TOKENS", "length", []],
    ["SAFETY", "content_filter", []],
    ["OTHER", "stop", ["unusual_finish_reason"]],
    ["LANGUAGE", "stop", ["unusual_finish_reason"]],
  ])("shows the finish reason %s as %s", (given, shown, warnings) => {
    const result = foldGemini([answer(given)], "eof");
    expect(result).toMatchObject({
      finishReason: given,
      warnings,
      asOpenAI: { finishReason: shown },
    });
  });

  it.each(["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"])("fails by %s", (reason) => {
    expect(foldGemini([answer(reason)], "eof")).toMatchObject({
      outcome: "error",
      finishReason: reason,
    });
  });

  it("fails by an error object, alone or in an array", () => {
    const error = { code: 503, message: "m", status: "UNAVAILABLE" };
    expect(foldGemini([answer(null), event({ error })], "eof")).toMatchObject({
      outcome: "error",
      error,
    });
    expect(foldGemini([event([{ error }])], "eof")).toMatchObject({ outcome: "error", error });
    expect(foldGemini([event([{}])], "eof").outcome).toBe("protocol_error");
  });

  it("counts tool results as input and thoughts as output", () => {
    const usageMetadata = {
      promptTokenCount: 5,
      toolUsePromptTokenCount: 2,
      thoughtsTokenCount: 4,
    };
    expect(foldGemini([event({ usageMetadata })], "eof").asOpenAI.usage).toMatchObject({
      prompt_tokens: 7,
      completion_tokens: 4,
      total_tokens: 11,
    });
  });
});
