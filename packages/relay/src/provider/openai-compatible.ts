/** The base dialect: OpenAI's chat completions as most vendors implement it. Other dialects change single parts of it. */
import { isObject } from "@millrace/wire/json-values";
import { editJson } from "@millrace/wire/json-scan";
import type { JsonEdit } from "@millrace/wire/json-scan";
import type {
  ClientRequest,
  EncodeTarget,
  Endpoint,
  EventFacts,
  FailureKind,
  FinishedChoice,
  Provider,
  StatusFailure,
  UpstreamError,
  Usage,
  WireRequest,
} from "./provider.ts";
import { HOPS_HEADER } from "./provider.ts";
import { findError, readErrorBody } from "./upstream-error.ts";

const PATHS: Readonly<Record<Endpoint, string>> = { chat: "/chat/completions", completions: "/completions", embeddings: "/embeddings" };

/** Finish reasons that say the answer broke off. */
const BROKEN = new Set(["error", "insufficient_system_resource"]);

/** Words that mean "no money left", whatever status they came with. */
const NO_MONEY = /insufficient[_ ](quota|balance|credit)|credit[_ ]balance|billing_hard_limit/i;

export const openaiCompatible: Provider = {
  name: "openai-compatible",
  requestIdHeaders: ["x-request-id", "request-id"],
  textKeys: ["content", "reasoning_content", "reasoning", "text"],
  encode: (request, target) => encodeWith(request, target, []),
  read: readEvent,
  readPlain,
  failure: readFailure,
};

/** The request with its model name, our usage wish and `extra` edits put in; all else as the client wrote it. */
export function encodeWith(request: ClientRequest, target: EncodeTarget, extra: readonly JsonEdit[]): WireRequest {
  const { model, apiKey, usageInStream } = target;
  const askedForUsage = request.isStream && !request.wantsUsage && usageInStream;
  const edits: JsonEdit[] = [...extra];
  if (model !== request.model) edits.push({ kind: "set", key: "model", json: JSON.stringify(model) });
  if (askedForUsage) edits.push({ kind: "set", key: "stream_options", json: withUsage(request) });
  const body = edits.length === 0 ? request.body : editJson(request.body, request.members, edits);
  return { path: PATHS[request.endpoint], headers: headersFor(request, apiKey), body, model, askedForUsage };
}

function withUsage(request: ClientRequest): string {
  const member = request.members.find((candidate) => candidate.key === "stream_options" && candidate.kind === "object");
  if (member === undefined) return '{"include_usage":true}';
  const options = JSON.parse(textOf(request.body.subarray(member.valueStart, member.valueEnd))) as Record<string, unknown>;
  return JSON.stringify({ ...options, include_usage: true });
}

function headersFor(request: ClientRequest, apiKey: string | null): string[] {
  const headers = [
    "content-type",
    "application/json",
    "accept",
    request.isStream ? "text/event-stream" : "application/json",
    "accept-encoding",
    "identity",
    "user-agent",
    "millrace",
  ];
  headers.push(HOPS_HEADER, String(request.hops));
  if (apiKey !== null) headers.push("authorization", `Bearer ${apiKey}`);
  return headers;
}

const NOTHING: EventFacts = { error: null, hasContent: false, text: "", finished: [], choices: [], usage: null, isUsageOnly: false };

/** One `chat.completion.chunk` or `text_completion` event. */
function readEvent(event: unknown): EventFacts {
  const error = findError(event);
  if (error !== null) return { ...NOTHING, error };
  if (!isObject(event)) return NOTHING;
  const listed = event["choices"];
  const choices = Array.isArray(listed) ? listed : [];
  const usage = readUsage(event["usage"]) ?? readUsage(isObject(event["x_groq"]) ? event["x_groq"]["usage"] : null);
  let text = "";
  let hasContent = false;
  const finished: FinishedChoice[] = [];
  const indexes: number[] = [];
  for (let i = 0; i < choices.length; i++) {
    const choice: unknown = choices[i];
    if (!isObject(choice)) continue;
    const index = typeof choice["index"] === "number" ? choice["index"] : i;
    indexes.push(index);
    const reason = choice["finish_reason"];
    if (typeof reason === "string" && reason !== "") {
      if (BROKEN.has(reason))
        return { ...NOTHING, usage, error: { message: `the upstream broke off (${reason})`, type: null, code: reason, param: null } };
      finished.push({ index, reason });
    }
    const piece = choiceText(choice);
    if (piece !== "") text += piece;
    hasContent ||= piece !== "" || choiceHasContent(choice);
  }
  return {
    error: null,
    hasContent,
    text,
    finished,
    choices: indexes,
    usage,
    isUsageOnly: usage !== null && Array.isArray(listed) && listed.length === 0,
  };
}

/** A plain `chat.completion`, `text_completion` or embedding list. */
function readPlain(body: unknown): EventFacts {
  const error = findError(body);
  if (error !== null) return { ...NOTHING, error };
  if (!isObject(body))
    return { ...NOTHING, error: { message: "the upstream's answer is no JSON object", type: null, code: null, param: null } };
  const facts = readEvent(body);
  const hasData = Array.isArray(body["data"]) || Array.isArray(body["choices"]);
  return { ...facts, hasContent: hasData };
}

function choiceText(choice: Record<string, unknown>): string {
  const delta = choice["delta"] ?? choice["message"];
  if (!isObject(delta)) return typeof choice["text"] === "string" ? choice["text"] : "";
  return (
    string(delta["content"]) +
    (string(delta["reasoning_content"]) || string(delta["reasoning"])) +
    string(delta["refusal"]) +
    toolText(delta["tool_calls"])
  );
}

function toolText(calls: unknown): string {
  if (!Array.isArray(calls)) return "";
  let text = "";
  for (const call of calls) {
    const made: unknown = isObject(call) ? call["function"] : null;
    if (isObject(made)) text += string(made["name"]) + string(made["arguments"]);
  }
  return text;
}

function choiceHasContent(choice: Record<string, unknown>): boolean {
  const delta = choice["delta"];
  if (!isObject(delta)) return false;
  for (const key of Object.keys(delta)) if (key !== "role" && !isEmpty(delta[key])) return true;
  return false;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

/** Usage of the OpenAI family; DeepSeek's cache counts become cached input. Null if there is no usage. */
function readUsage(value: unknown): Usage | null {
  if (!isObject(value)) return null;
  const input = count(value["prompt_tokens"]);
  const output = count(value["completion_tokens"]);
  if (input === null && output === null && count(value["total_tokens"]) === null) return null;
  const prompt = isObject(value["prompt_tokens_details"]) ? value["prompt_tokens_details"] : {};
  const completion = isObject(value["completion_tokens_details"]) ? value["completion_tokens_details"] : {};
  return {
    input: input ?? Math.max(0, (count(value["total_tokens"]) ?? 0) - (output ?? 0)),
    cachedInput: count(prompt["cached_tokens"]) ?? count(value["prompt_cache_hit_tokens"]) ?? 0,
    cacheWrite: count(prompt["cache_write_tokens"]) ?? 0,
    output: output ?? 0,
    reasoning: count(completion["reasoning_tokens"]) ?? 0,
  };
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** What a status that is not 2xx means in the OpenAI family. */
function readFailure(status: number, body: string): StatusFailure {
  const error = readErrorBody(body);
  return { kind: kindOf(status, error), status, error };
}

function kindOf(status: number, error: UpstreamError): FailureKind {
  if (status >= 300 && status < 400) return "redirect";
  if (status === 401 || status === 402 || saysNoMoney(status, error) || (status === 403 && speaksOfUs(error))) return "credential";
  if (status === 429 || status === 529) return "throttled";
  if (status === 400 || status === 413 || status === 422) return "caller";
  return status === 404 ? "model" : "failed";
}

/** A 403 may be about a prompt; about our key, our account or where we are it is when its words say so. */
function speaksOfUs(error: UpstreamError): boolean {
  return /key|auth|account|permission|country|region/i.test(`${error.code ?? ""} ${error.type ?? ""}`);
}

/** Some upstreams say "no money left" with a status that means something else. */
function saysNoMoney(status: number, error: UpstreamError): boolean {
  if (status !== 429 && status !== 400) return false;
  return NO_MONEY.test(`${error.code ?? ""} ${error.type ?? ""}`) || /^your credit balance is too low/i.test(error.message);
}

/** UTF-8 bytes as text, without a decoder object. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
