import type { JsonObject } from "./json-values.ts";
import { asArray, asString, isBlank, parseObject } from "./fold-common.ts";
import { asObject } from "./json-values.ts";
import type { SseEvent } from "./sse-reader.ts";

/** How a stream ended, seen from its reader. */
export type StreamOutcome = "complete" | "truncated" | "error" | "protocol_error";

/** How the body ended: closed cleanly, or broken off. */
export type BodyEnd = "eof" | "reset";

export type StreamWarning =
  | "missing_done"
  | "missing_finish_reason"
  | "data_after_done"
  | "blank_answer"
  | "unknown_event"
  | "unusual_finish_reason";

export interface ToolCall {
  readonly index: number;
  readonly id: string;
  readonly name: string;
  /** The pieces joined as they came: perhaps not valid JSON. */
  readonly arguments: string;
}

export interface FoldedChoice {
  readonly index: number;
  readonly text: string;
  readonly reasoning: string;
  readonly refusal: string;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: string | null;
}

export interface OpenAIResult {
  readonly outcome: StreamOutcome;
  readonly choices: readonly FoldedChoice[];
  readonly usage: JsonObject | null;
  readonly error: unknown;
  readonly sawDone: boolean;
  readonly warnings: readonly StreamWarning[];
}

interface OpenCall {
  index: number;
  id: string;
  name: string;
  arguments: string;
}

interface OpenChoice {
  index: number;
  text: string;
  reasoning: string;
  refusal: string;
  toolCalls: Map<number, OpenCall>;
  finishReason: string | null;
}

const FAILED_FINISH_REASONS: ReadonlySet<string> = new Set(["error", "insufficient_system_resource"]);

/** Folds the events of an OpenAI chat stream, one by one, to the answer they make. */
export class OpenAIFold {
  readonly #choices = new Map<number, OpenChoice>();
  readonly #warnings = new Set<StreamWarning>();
  #usage: JsonObject | null = null;
  #error: unknown = null;
  #stopped: "error" | "protocol_error" | null = null;
  #sawDone = false;

  /** Takes the next event. What follows an error or `[DONE]` changes nothing any more. */
  push(event: SseEvent): void {
    if (this.#stopped !== null) return;
    if (this.#sawDone) {
      this.#warnings.add("data_after_done");
      return;
    }
    if (event.data.trim() === "[DONE]") this.#sawDone = true;
    else if (event.event === "error") this.#fail(errorOfEvent(event.data));
    else if (event.event === "message") this.#takeData(event.data);
    else this.#takeNamed(event.data);
  }

  /** The answer so far, given how the body ended. */
  result(end: BodyEnd): OpenAIResult {
    const choices = [...this.#choices.values()].sort(byIndex).map(closeChoice);
    const outcome = this.#stopped ?? this.#outcome(choices, end);
    return {
      outcome,
      choices,
      usage: this.#usage,
      error: this.#error,
      sawDone: this.#sawDone,
      warnings: [...(outcome === "complete" ? this.#claims(choices) : []), ...this.#warnings],
    };
  }

  #outcome(choices: readonly FoldedChoice[], end: BodyEnd): StreamOutcome {
    const isFinished = choices.length > 0 && choices.every((choice) => choice.finishReason !== null);
    return this.#sawDone || (isFinished && end === "eof") ? "complete" : "truncated";
  }

  /** The oddities of an answer that claims to be complete. */
  #claims(choices: readonly FoldedChoice[]): StreamWarning[] {
    const warnings: StreamWarning[] = [];
    if (!this.#sawDone) warnings.push("missing_done");
    if (choices.length === 0 || choices.some((choice) => choice.finishReason === null)) {
      warnings.push("missing_finish_reason");
    }
    const hasOther = choices.some((choice) => choice.toolCalls.length > 0 || choice.refusal !== "");
    if (!hasOther && isBlank(choices.map((choice) => choice.text).join(""))) {
      warnings.push("blank_answer");
    }
    return warnings;
  }

  #fail(error: unknown): void {
    this.#stopped = "error";
    this.#error = error;
  }

  #takeData(data: string): void {
    const chunk = parseObject(data);
    if (chunk === null) this.#stopped = "protocol_error";
    else this.#takeChunk(chunk);
  }

  /** An event name says nothing in this dialect, and some upstreams name their chunks: the data decides. */
  #takeNamed(data: string): void {
    this.#warnings.add("unknown_event");
    const chunk = parseObject(data);
    if (chunk !== null) this.#takeChunk(chunk);
  }

  #takeChunk(chunk: JsonObject): void {
    this.#usage = asObject(chunk["usage"]) ?? asObject(asObject(chunk["x_groq"])?.["usage"]) ?? this.#usage;
    for (const value of asArray(chunk["choices"])) this.#takeChoice(asObject(value) ?? {});
    const error = chunk["error"] ?? null;
    if (error !== null) this.#fail(error);
    else if (chunk["object"] === "error") this.#fail(chunk);
  }

  #takeChoice(value: JsonObject): void {
    const index = asIndex(value["index"], 0);
    const choice = this.#choices.get(index) ?? openChoice(index);
    this.#choices.set(index, choice);
    addDelta(choice, asObject(value["delta"]) ?? {});
    const reason = value["finish_reason"];
    if (typeof reason !== "string") return;
    choice.finishReason = reason;
    if (FAILED_FINISH_REASONS.has(reason)) this.#fail(null);
  }
}

/** Folds all events of an OpenAI chat stream. */
export function foldOpenAI(events: Iterable<SseEvent>, end: BodyEnd): OpenAIResult {
  const fold = new OpenAIFold();
  for (const event of events) fold.push(event);
  return fold.result(end);
}

/** A plain JSON answer: the value, and whether it is an answer or an error that came with a good status. */
export function readOpenAIBody(text: string): {
  readonly json: JsonObject | null;
  readonly outcome: "complete" | "error" | "protocol_error";
} {
  const json = parseObject(text);
  if (json === null) return { json, outcome: "protocol_error" };
  const isError = (json["error"] ?? null) !== null || json["object"] === "error";
  return { json, outcome: isError ? "error" : "complete" };
}

function openChoice(index: number): OpenChoice {
  return { index, text: "", reasoning: "", refusal: "", toolCalls: new Map(), finishReason: null };
}

function closeChoice(choice: OpenChoice): FoldedChoice {
  return { ...choice, toolCalls: [...choice.toolCalls.values()].sort(byIndex) };
}

function addDelta(choice: OpenChoice, delta: JsonObject): void {
  choice.text += asString(delta["content"]);
  choice.reasoning += asString(delta["reasoning_content"] ?? delta["reasoning"]);
  choice.refusal += asString(delta["refusal"]);
  asArray(delta["tool_calls"]).forEach((value, position) => {
    addToolCall(choice.toolCalls, asObject(value) ?? {}, position);
  });
}

function addToolCall(calls: Map<number, OpenCall>, piece: JsonObject, position: number): void {
  const index = asIndex(piece["index"], position);
  const call = calls.get(index) ?? { index, id: "", name: "", arguments: "" };
  calls.set(index, call);
  const named = asObject(piece["function"]) ?? {};
  call.id ||= asString(piece["id"]);
  call.name ||= asString(named["name"]);
  call.arguments += asString(named["arguments"]);
}

/** An event named `error` is one whatever it holds; without an error object its data is all there is to tell. */
function errorOfEvent(data: string): unknown {
  const body = parseObject(data);
  if (body === null) return { message: data };
  return body["error"] ?? body;
}

function asIndex(value: unknown, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}

function byIndex(a: { readonly index: number }, b: { readonly index: number }): number {
  return a.index - b.index;
}
