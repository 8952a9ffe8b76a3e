import type { AnswerPlan } from "./answer-plan.ts";
import type { Piece } from "./piece.ts";

/** The start of every chunk of an answer, up to and with the comma before `choices`. */
export function chunkHead(plan: AnswerPlan): string {
  const object = plan.endpoint === "chat" ? "chat.completion.chunk" : "text_completion";
  return (
    `{"id":"${plan.id}","object":"${object}","created":${plan.created},` +
    `"model":${JSON.stringify(plan.model)},"system_fingerprint":"${plan.fingerprint}",`
  );
}

/** One choice of a chunk. `text` and `finish` are JSON; `text` is the delta, or the text of the old endpoint. */
export function choiceJson(plan: AnswerPlan, choice: number, text: string, finish: string): string {
  const said = plan.endpoint === "chat" ? `"delta":${text}` : `"text":${text}`;
  return `"choices":[{"index":${choice},${said},"logprobs":null,"finish_reason":${finish}}]`;
}

/** The delta of a piece as JSON, with the role if `role` is given. For the old endpoint it is only the text. */
export function deltaJson(plan: AnswerPlan, piece: Piece, role: boolean): string {
  if (plan.endpoint === "completions") return JSON.stringify("text" in piece ? piece.text : "");
  return `{${role ? '"role":"assistant",' : ""}${deltaFields(plan, piece)}}`;
}

/** The delta that opens a choice, with only the role. */
export function roleDeltaJson(plan: AnswerPlan): string {
  if (speaksReasoningContent(plan)) return '{"role":"assistant","content":null,"reasoning_content":""}';
  return '{"role":"assistant","content":"","refusal":null}';
}

/** The empty delta that comes with the finish reason. */
export function finishDeltaJson(plan: AnswerPlan): string {
  if (plan.endpoint === "completions") return '""';
  return speaksReasoningContent(plan) ? '{"content":"","reasoning_content":null}' : "{}";
}

function deltaFields(plan: AnswerPlan, piece: Piece): string {
  switch (piece.kind) {
    case "reasoning":
      return speaksReasoningContent(plan)
        ? `"content":null,"reasoning_content":${JSON.stringify(piece.text)}`
        : `"content":"","reasoning":${JSON.stringify(piece.text)}`;
    case "content":
      return `"content":${JSON.stringify(piece.text)}${speaksReasoningContent(plan) ? ',"reasoning_content":null' : ""}`;
    case "tool-start":
      return (
        `"tool_calls":[{"index":${piece.index},"id":${JSON.stringify(piece.id)},"type":"function",` +
        `"function":{"name":${JSON.stringify(piece.name)},"arguments":""}}]`
      );
    case "tool-arguments":
      return `"tool_calls":[{"index":${piece.index},"function":{"arguments":${JSON.stringify(piece.text)}}}]`;
    case "limit":
      return "";
  }
}

function speaksReasoningContent(plan: AnswerPlan): boolean {
  return plan.scenario.reasoning > 0 && plan.scenario.reasoningField === "reasoning_content";
}
