import { finishReason } from "./answer-events.ts";
import type { AnswerPlan } from "./answer-plan.ts";
import { choicePieces } from "./piece.ts";
import type { Piece } from "./piece.ts";
import { usageJson } from "./usage.ts";

interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; arguments: string };
}

interface Told {
  content: string;
  reasoning: string;
  readonly toolCalls: ToolCall[];
  isLimited: boolean;
}

/** The whole answer as one JSON body, the same words that the stream would say. */
export function plainAnswer(plan: AnswerPlan): string {
  const said = { completion: 0, reasoning: 0 };
  const choices = Array.from({ length: plan.choices }, (_, choice) => {
    const told: Told = { content: "", reasoning: "", toolCalls: [], isLimited: false };
    for (const piece of choicePieces(plan, choice)) {
      if (piece.kind !== "limit") said.completion += 1;
      if (piece.kind === "reasoning") said.reasoning += 1;
      add(told, piece);
    }
    return choiceObject(plan, choice, told);
  });
  const body = {
    id: plan.id,
    object: plan.endpoint === "chat" ? "chat.completion" : "text_completion",
    created: plan.created,
    model: plan.model,
    choices,
    system_fingerprint: plan.fingerprint,
  };
  const text = JSON.stringify(body);
  return plan.scenario.usage === "never" ? text : `${text.slice(0, -1)},"usage":${usageJson(plan, said)}}`;
}

function add(told: Told, piece: Piece): void {
  switch (piece.kind) {
    case "reasoning":
      told.reasoning += piece.text;
      return;
    case "content":
      told.content += piece.text;
      return;
    case "tool-start":
      told.toolCalls.push({
        id: piece.id,
        type: "function",
        function: { name: piece.name, arguments: "" },
      });
      return;
    case "tool-arguments": {
      const call = told.toolCalls[piece.index];
      if (call !== undefined) call.function.arguments += piece.text;
      return;
    }
    case "limit":
      told.isLimited = true;
  }
}

function choiceObject(plan: AnswerPlan, index: number, told: Told): object {
  const finish = finishReason(plan, told.isLimited);
  if (plan.endpoint === "completions") return { text: told.content, index, logprobs: null, finish_reason: finish };
  return { index, message: message(plan, told), logprobs: null, finish_reason: finish };
}

function message(plan: AnswerPlan, told: Told): object {
  const hasTools = told.toolCalls.length > 0;
  return {
    role: "assistant",
    content: hasTools && told.content === "" ? null : told.content,
    ...(told.reasoning === "" ? {} : { [plan.scenario.reasoningField]: told.reasoning }),
    refusal: null,
    annotations: [],
    ...(hasTools ? { tool_calls: told.toolCalls } : {}),
  };
}
