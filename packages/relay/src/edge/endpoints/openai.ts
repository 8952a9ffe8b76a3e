/**
 * The endpoints of OpenAI's dialect: turns a checked body into a client's request. It reads the few members that the relay
 * itself must understand; the rest of the body is never parsed. Another dialect gets a file beside this one.
 */
import type { JsonMember } from "@millrace/wire/json-scan";
import { relayError } from "../../chat/relay-error.ts";
import type { RelayError } from "../../chat/relay-error.ts";
import type { ClientRequest, Endpoint } from "../../provider/provider.ts";
import type { JsonBody } from "../body.ts";

const MODEL_LENGTH_MAX = 256;
/** No name has them, and PostgreSQL keeps no text with a U+0000. */
const CONTROL_CHARACTER = /\p{Cc}/u;
const CHOICES_MAX = 128;
/** Bytes of a member that is parsed here. */
const MEMBER_BYTES_MAX = 4096;
/** Bytes of a number; a longer one counts as none. */
const NUMBER_BYTES_MAX = 15;

interface RequestRefused {
  readonly ok: false;
  readonly error: RelayError;
}

type Read<T> = { readonly ok: true; readonly value: T } | RequestRefused;

export type RequestResult = { readonly ok: true; readonly request: ClientRequest } | RequestRefused;

/** What each endpoint cannot do without. */
const REQUIRED: Readonly<Record<Endpoint, { readonly key: string; readonly kinds: readonly string[]; readonly what: string }>> = {
  chat: { key: "messages", kinds: ["array"], what: "a list of messages" },
  completions: { key: "prompt", kinds: ["string", "array"], what: "a text or a list" },
  embeddings: { key: "input", kinds: ["string", "array"], what: "a text or a list" },
};

/** The request that a body asks for, or the refusal of its first member that is wrong. @param hops relays it came through. */
export function readClientRequest(endpoint: Endpoint, body: JsonBody, hops: number): RequestResult {
  const model = modelOf(body);
  if (!model.ok) return model;
  const stream = streamOf(body);
  if (!stream.ok) return stream;
  const wantsUsage = usageWishOf(body);
  if (!wantsUsage.ok) return wantsUsage;
  const prompts = promptsOf(endpoint, body);
  if (!prompts.ok) return prompts;
  const choices = choicesOf(body);
  if (!choices.ok) return choices;
  const tries = triesOf(endpoint, body);
  if (!tries.ok) return tries;
  const request = {
    outputTokensMax: outputTokensMaxOf(body),
    endpoint,
    body: body.bytes,
    members: body.members,
    model: model.value,
    isStream: endpoint !== "embeddings" && stream.value,
    wantsUsage: wantsUsage.value,
    choices: choices.value * prompts.value,
    answersMax: Math.max(choices.value, tries.value) * prompts.value,
    hops,
  };
  return { ok: true, request };
}

function modelOf(body: JsonBody): Read<string> {
  const model = find(body, "model");
  if (model === undefined || model.kind !== "string") return refuse("model", "Name the model: `model` must be a string.");
  if (sizeOf(model) > MODEL_LENGTH_MAX * 6) return refuse("model", "This model name is too long.");
  const name = String(valueOf(body, model));
  if (name === "" || name.length > MODEL_LENGTH_MAX)
    return refuse("model", "Name the model: `model` must be a string of 1 to 256 characters.");
  if (CONTROL_CHARACTER.test(name)) return refuse("model", "This model name has a control character in it.");
  return read(name);
}

function streamOf(body: JsonBody): Read<boolean> {
  const kind = find(body, "stream")?.kind ?? "null";
  return ["true", "false", "null"].includes(kind) ? read(kind === "true") : refuse("stream", "`stream` must be true or false.");
}

/** Whether the client asks for usage at the end of its stream. */
function usageWishOf(body: JsonBody): Read<boolean> {
  const options = find(body, "stream_options");
  if (options === undefined) return read(false);
  if (sizeOf(options) > MEMBER_BYTES_MAX || (options.kind !== "object" && options.kind !== "null"))
    return refuse("stream_options", "`stream_options` must be a small object.");
  return read(options.kind === "object" && (valueOf(body, options) as Record<string, unknown>)["include_usage"] === true);
}

/** How many prompts the body has, each of which is answered. */
function promptsOf(endpoint: Endpoint, body: JsonBody): Read<number> {
  const { key, kinds, what } = REQUIRED[endpoint];
  const given = find(body, key);
  if (given === undefined || !kinds.includes(given.kind)) return refuse(key, `\`${key}\` must be ${what}.`);
  return read(endpoint === "completions" && given.kind === "array" ? promptsIn(valueOf(body, given)) : 1);
}

/** A list of texts, or of lists of token ids, is a prompt each; a list of token ids is one. */
function promptsIn(list: unknown): number {
  return Array.isArray(list) && list.some((item) => typeof item !== "number") ? list.length : 1;
}

/** How many answers the client wants to each prompt. */
function choicesOf(body: JsonBody): Read<number> {
  const n = find(body, "n");
  return counted("n", n === undefined || n.kind === "null" ? 1 : (smallNumber(body, n) ?? Number.NaN));
}

/** How many answers the upstream makes to each prompt, to choose the best of them. */
function triesOf(endpoint: Endpoint, body: JsonBody): Read<number> {
  const bestOf = find(body, "best_of");
  return counted("best_of", endpoint === "completions" && bestOf?.kind === "number" ? Number(valueOf(body, bestOf)) : 1);
}

function counted(param: string, count: number): Read<number> {
  const isCount = Number.isInteger(count) && count >= 1 && count <= CHOICES_MAX;
  return isCount ? read(count) : refuse(param, `\`${param}\` must be a whole number from 1 to 128.`);
}

/** Upstreams differ in which of the two limits they heed: the larger one is what can be billed. Null: none was given. */
function outputTokensMaxOf(body: JsonBody): number | null {
  const limits = ["max_completion_tokens", "max_tokens"].flatMap((key) => {
    const limit = find(body, key);
    return limit === undefined ? [] : (smallNumber(body, limit) ?? []);
  });
  const most = Math.max(...limits);
  return limits.length > 0 && most >= 0 ? Math.ceil(most) : null;
}

function smallNumber(body: JsonBody, member: JsonMember): number | null {
  return member.kind === "number" && sizeOf(member) <= NUMBER_BYTES_MAX ? Number(valueOf(body, member)) : null;
}

function find(body: JsonBody, key: string): JsonMember | undefined {
  return body.members.find((member) => member.key === key);
}

function valueOf(body: JsonBody, { valueStart, valueEnd }: JsonMember): unknown {
  return JSON.parse(body.bytes.toString("utf8", valueStart, valueEnd)) as unknown;
}

function sizeOf({ valueStart, valueEnd }: JsonMember): number {
  return valueEnd - valueStart;
}

function read<T>(value: T): Read<T> {
  return { ok: true, value };
}

function refuse(param: string, message: string): RequestRefused {
  return { ok: false, error: relayError("invalid_request", message, { param }) };
}
