import type { JsonObject } from "./json-values.ts";
import { asCount, asString, isBlank, mergeUsage, parseObject } from "./fold-common.ts";
import { asObject } from "./json-values.ts";
import type { BodyEnd, StreamOutcome, StreamWarning, ToolCall } from "./fold-openai.ts";
import type { SseEvent } from "./sse-reader.ts";

/** A content block. Which of the optional fields it has depends on its type. */
export interface AnthropicBlock {
  readonly index: number;
  readonly type: string;
  readonly text?: string;
  readonly thinking?: string;
  readonly signature?: string;
  readonly data?: string;
  readonly id?: string;
  readonly name?: string;
  /** The pieces joined as they came; empty when none came, which means `{}`. */
  readonly inputJson?: string;
}

/** One answer as an OpenAI client sees it, whatever dialect it came in. */
export interface OpenAIView {
  readonly finishReason: string | null;
  readonly text: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCall[];
  readonly usage: JsonObject | null;
}

export interface AnthropicResult {
  readonly outcome: StreamOutcome;
  readonly blocks: readonly AnthropicBlock[];
  readonly stopReason: string | null;
  readonly usage: JsonObject | null;
  readonly error: unknown;
  readonly sawDone: boolean;
  readonly warnings: readonly StreamWarning[];
  readonly asOpenAI: OpenAIView;
}

const TOOL_BLOCKS: ReadonlySet<string> = new Set(["tool_use", "server_tool_use"]);

/** Folds the events of an Anthropic messages stream, one by one, to the answer they make. */
export class AnthropicFold {
  readonly #blocks = new Map<number, AnthropicBlock>();
  readonly #warnings = new Set<StreamWarning>();
  #stopReason: string | null = null;
  #usage: JsonObject | null = null;
  #error: unknown = null;
  #stopped: "error" | "protocol_error" | null = null;
  #sawStop = false;

  /** Takes the next event. What follows an error or `message_stop` changes nothing any more. */
  push(event: SseEvent): void {
    if (this.#stopped !== null || event.data.trim() === "[DONE]") return;
    if (this.#sawStop) {
      this.#warnings.add("data_after_done");
      return;
    }
    const body = parseObject(event.data);
    if (event.event === "error") this.#fail(body?.["error"] ?? body ?? { message: event.data });
    else if (body === null) this.#stopped = "protocol_error";
    else this.#take(asString(body["type"]) || event.event, body);
  }

  /** The answer so far. This dialect has its own end marker, so how the body ended does not matter. */
  result(_end: BodyEnd): AnthropicResult {
    const blocks = [...this.#blocks.values()].sort((a, b) => a.index - b.index);
    const outcome = this.#stopped ?? (this.#sawStop ? "complete" : "truncated");
    const asOpenAI = viewAsOpenAI(blocks, this.#stopReason, this.#usage);
    return {
      outcome,
      blocks,
      stopReason: this.#stopReason,
      usage: this.#usage,
      error: this.#error,
      sawDone: this.#sawStop,
      warnings: [...(outcome === "complete" ? claimsOf(asOpenAI) : []), ...this.#warnings],
      asOpenAI,
    };
  }

  #fail(error: unknown): void {
    this.#stopped = "error";
    this.#error = error;
  }

  #take(type: string, body: JsonObject): void {
    switch (type) {
      case "message_start":
        this.#usage = mergeUsage(this.#usage, asObject(body["message"])?.["usage"]);
        return;
      case "content_block_start":
        this.#openBlock(asCount(body["index"]), asObject(body["content_block"]) ?? {});
        return;
      case "content_block_delta":
        this.#addDelta(asCount(body["index"]), asObject(body["delta"]) ?? {});
        return;
      case "message_delta":
        this.#stopReason = asString(asObject(body["delta"])?.["stop_reason"]) || this.#stopReason;
        this.#usage = mergeUsage(this.#usage, body["usage"]);
        return;
      case "message_stop":
        this.#sawStop = true;
        return;
      case "error":
        this.#fail(body["error"] ?? body);
        return;
      case "content_block_stop":
      case "ping":
        return;
      default:
        if ((body["error"] ?? null) !== null) this.#fail(body["error"]);
        else this.#warnings.add("unknown_event");
    }
  }

  #openBlock(index: number, start: JsonObject): void {
    this.#blocks.set(index, { index, ...startOfBlock(asString(start["type"]), start) });
  }

  /** A delta for a block that was never opened opens the block, so that a missing start loses no text. */
  #addDelta(index: number, delta: JsonObject): void {
    const change = DELTAS.get(asString(delta["type"]));
    if (change === undefined) return;
    const block = this.#blocks.get(index) ?? { index, type: change.blockType };
    const text = (block[change.field] ?? "") + asString(delta[change.piece]);
    this.#blocks.set(index, { ...block, [change.field]: text });
  }
}

interface DeltaRule {
  readonly blockType: string;
  readonly field: "text" | "thinking" | "signature" | "inputJson";
  readonly piece: string;
}

const DELTAS: ReadonlyMap<string, DeltaRule> = new Map([
  ["text_delta", { blockType: "text", field: "text", piece: "text" }],
  ["thinking_delta", { blockType: "thinking", field: "thinking", piece: "thinking" }],
  ["signature_delta", { blockType: "thinking", field: "signature", piece: "signature" }],
  ["input_json_delta", { blockType: "tool_use", field: "inputJson", piece: "partial_json" }],
]);

/** All other stop reasons, unknown ones too, are `stop`. */
const FINISH_REASONS: ReadonlyMap<string, string> = new Map([
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_use", "tool_calls"],
  ["refusal", "content_filter"],
]);

/** Folds all events of an Anthropic messages stream. */
export function foldAnthropic(events: Iterable<SseEvent>, end: BodyEnd): AnthropicResult {
  const fold = new AnthropicFold();
  for (const event of events) fold.push(event);
  return fold.result(end);
}

function startOfBlock(type: string, start: JsonObject): Omit<AnthropicBlock, "index"> {
  if (type === "text") return { type, text: asString(start["text"]) };
  if (type === "thinking") {
    const signature = asString(start["signature"]);
    return { type, thinking: asString(start["thinking"]), ...(signature && { signature }) };
  }
  if (type === "redacted_thinking") return { type, data: asString(start["data"]) };
  if (!TOOL_BLOCKS.has(type)) return { type };
  return { type, id: asString(start["id"]), name: asString(start["name"]), inputJson: "" };
}

function viewAsOpenAI(blocks: readonly AnthropicBlock[], stopReason: string | null, usage: JsonObject | null): OpenAIView {
  // Tools that ran on the server are not calls that the client has to answer.
  const calls = blocks.filter((block) => block.type === "tool_use");
  return {
    finishReason: stopReason === null ? null : (FINISH_REASONS.get(stopReason) ?? "stop"),
    text: blocks.map((block) => block.text ?? "").join(""),
    reasoning: blocks.map((block) => block.thinking ?? "").join(""),
    toolCalls: calls.map((block, index) => ({
      index,
      id: block.id ?? "",
      name: block.name ?? "",
      arguments: block.inputJson || "{}",
    })),
    usage: usage === null ? null : usageAsOpenAI(usage),
  };
}

/** Anthropic counts cached input apart; the OpenAI prompt count includes it. */
function usageAsOpenAI(usage: JsonObject): JsonObject {
  const read = asCount(usage["cache_read_input_tokens"]);
  const written = asCount(usage["cache_creation_input_tokens"]);
  const prompt = asCount(usage["input_tokens"]) + read + written;
  const completion = asCount(usage["output_tokens"]);
  const thinking = asObject(usage["output_tokens_details"])?.["thinking_tokens"];
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: read, cache_write_tokens: written },
    ...(typeof thinking === "number" && {
      completion_tokens_details: { reasoning_tokens: thinking },
    }),
  };
}

function claimsOf(view: OpenAIView): StreamWarning[] {
  const warnings: StreamWarning[] = [];
  if (view.finishReason === null) warnings.push("missing_finish_reason");
  if (view.toolCalls.length === 0 && isBlank(view.text)) warnings.push("blank_answer");
  return warnings;
}
