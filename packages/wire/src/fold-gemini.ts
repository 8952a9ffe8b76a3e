import type { OpenAIView } from "./fold-anthropic.ts";
import type { JsonObject } from "./json-values.ts";
import { asArray, asCount, asString, isBlank, mergeUsage } from "./fold-common.ts";
import { asObject, parseJson } from "./json-values.ts";
import type { BodyEnd, StreamOutcome, StreamWarning, ToolCall } from "./fold-openai.ts";
import type { SseEvent } from "./sse-reader.ts";

export interface GeminiResult {
  /** `blocked`: the prompt was refused, there are no candidates. */
  readonly outcome: StreamOutcome | "blocked";
  readonly finishReason: string | null;
  readonly blockReason: string | null;
  readonly usage: JsonObject | null;
  readonly error: unknown;
  readonly warnings: readonly StreamWarning[];
  readonly asOpenAI: OpenAIView;
}

/** What a finish reason means to an OpenAI client; null means that the answer failed. */
const FINISH_REASONS: ReadonlyMap<string, string | null> = new Map([
  ["STOP", "stop"],
  ["MAX_TOKENS", "length"],
  ["SAFETY", "content_filter"],
  ["RECITATION", "content_filter"],
  ["BLOCKLIST", "content_filter"],
  ["PROHIBITED_CONTENT", "content_filter"],
  ["SPII", "content_filter"],
  ["IMAGE_SAFETY", "content_filter"],
  ["MALFORMED_FUNCTION_CALL", null],
  ["UNEXPECTED_TOOL_CALL", null],
  ["TOO_MANY_TOOL_CALLS", null],
]);

/** Folds the events of a Gemini stream, one by one, to the answer they make. Only the first candidate counts. */
export class GeminiFold {
  readonly #toolCalls: ToolCall[] = [];
  readonly #warnings = new Set<StreamWarning>();
  #text = "";
  #reasoning = "";
  #finishReason: string | null = null;
  #blockReason: string | null = null;
  #usage: JsonObject | null = null;
  #error: unknown = null;
  #stopped: "error" | "protocol_error" | null = null;
  #sawCandidate = false;

  /** Takes the next event. What follows an error changes nothing any more. */
  push(event: SseEvent): void {
    if (this.#stopped !== null || event.data.trim() === "[DONE]") return;
    const value = parseJson(event.data);
    // Errors also come as an array of one object.
    const body = asObject(Array.isArray(value) ? value[0] : value);
    const error = body?.["error"] ?? null;
    if (error !== null) this.#fail(error);
    else if (event.event === "error") this.#fail(body ?? { message: event.data });
    else if (body === null || Array.isArray(value)) this.#stopped = "protocol_error";
    else this.#takeResponse(body);
    if (event.event !== "message" && event.event !== "error") this.#warnings.add("unknown_event");
  }

  /** The answer so far, given how the body ended: a finish reason is believed only after a clean end. */
  result(end: BodyEnd): GeminiResult {
    const outcome = this.#stopped ?? this.#outcome(end);
    return {
      outcome,
      finishReason: this.#finishReason,
      blockReason: this.#blockReason,
      usage: this.#usage,
      error: this.#error,
      warnings: [...(outcome === "complete" ? this.#claims() : []), ...this.#warnings],
      asOpenAI: {
        finishReason: outcome === "blocked" ? "content_filter" : this.#openAIFinishReason(),
        text: this.#text,
        reasoning: this.#reasoning,
        toolCalls: [...this.#toolCalls],
        usage: this.#usage === null ? null : usageAsOpenAI(this.#usage),
      },
    };
  }

  #outcome(end: BodyEnd): GeminiResult["outcome"] {
    if (this.#blockReason !== null && !this.#sawCandidate) return "blocked";
    return this.#finishReason !== null && end === "eof" ? "complete" : "truncated";
  }

  #claims(): StreamWarning[] {
    const isUnusual = this.#finishReason !== null && !FINISH_REASONS.has(this.#finishReason);
    const isEmpty = this.#toolCalls.length === 0 && isBlank(this.#text);
    return [...(isUnusual ? (["unusual_finish_reason"] as const) : []), ...(isEmpty ? (["blank_answer"] as const) : [])];
  }

  #openAIFinishReason(): string | null {
    if (this.#finishReason === null) return null;
    const reason = FINISH_REASONS.get(this.#finishReason);
    if (reason === undefined) return "stop";
    return reason === "stop" && this.#toolCalls.length > 0 ? "tool_calls" : reason;
  }

  #fail(error: unknown): void {
    this.#stopped = "error";
    this.#error = error;
  }

  #takeResponse(body: JsonObject): void {
    this.#usage = mergeUsage(this.#usage, body["usageMetadata"]);
    this.#blockReason = asString(asObject(body["promptFeedback"])?.["blockReason"]) || this.#blockReason;
    const candidates = asArray(body["candidates"]).map((value) => asObject(value) ?? {});
    const candidate = candidates.find((value) => asCount(value["index"]) === 0);
    if (candidate !== undefined) this.#takeCandidate(candidate);
  }

  #takeCandidate(candidate: JsonObject): void {
    this.#sawCandidate = true;
    const parts = asArray(asObject(candidate["content"])?.["parts"]);
    for (const part of parts) this.#takePart(asObject(part) ?? {});
    this.#finishReason = asString(candidate["finishReason"]) || this.#finishReason;
    const hasFailed = FINISH_REASONS.get(this.#finishReason ?? "") === null;
    if (hasFailed) this.#fail(null);
  }

  #takePart(part: JsonObject): void {
    const text = asString(part["text"]);
    if (part["thought"] === true) this.#reasoning += text;
    else this.#text += text;
    const call = asObject(part["functionCall"]);
    if (call !== null) this.#toolCalls.push(readCall(call, this.#toolCalls.length));
  }
}

/** Folds all events of a Gemini stream. */
export function foldGemini(events: Iterable<SseEvent>, end: BodyEnd): GeminiResult {
  const fold = new GeminiFold();
  for (const event of events) fold.push(event);
  return fold.result(end);
}

/** Ids are often missing here; the place of the call makes one, so that folding twice gives the same. */
function readCall(call: JsonObject, index: number): ToolCall {
  return {
    index,
    id: asString(call["id"]) || `call_${index}`,
    name: asString(call["name"]),
    arguments: JSON.stringify(call["args"] ?? {}),
  };
}

/** The candidate count leaves out thoughts, which are billed as output; tool results are extra input. */
function usageAsOpenAI(usage: JsonObject): JsonObject {
  const prompt = asCount(usage["promptTokenCount"]) + asCount(usage["toolUsePromptTokenCount"]);
  const thoughts = asCount(usage["thoughtsTokenCount"]);
  const completion = asCount(usage["candidatesTokenCount"]) + thoughts;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: asCount(usage["cachedContentTokenCount"]) },
    completion_tokens_details: { reasoning_tokens: thoughts },
  };
}
