/** Turns a checked body into a client's request: the narrow hand check of what the relay itself must understand. */
import type { JsonMember } from "@millrace/wire/json-scan";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";
import type { ClientRequest, Endpoint } from "../provider/provider.ts";
import type { JsonBody } from "./body.ts";

const MODEL_LENGTH_MAX = 256;
/** No name has them, and PostgreSQL keeps no text with a U+0000. */
const CONTROL_CHARACTER = /\p{Cc}/u;
const CHOICES_MAX = 128;
/** Bytes of a member that is parsed here; the rest of the body never is. */
const MEMBER_BYTES_MAX = 4096;

export type RequestResult = { readonly ok: true; readonly request: ClientRequest } | { readonly ok: false; readonly error: RelayError };

/** What each endpoint cannot do without. */
const REQUIRED: Readonly<Record<Endpoint, { readonly key: string; readonly kinds: readonly string[]; readonly what: string }>> = {
  chat: { key: "messages", kinds: ["array"], what: "a list of messages" },
  completions: { key: "prompt", kinds: ["string", "array"], what: "a text or a list" },
  embeddings: { key: "input", kinds: ["string", "array"], what: "a text or a list" },
};

export function readClientRequest(endpoint: Endpoint, body: JsonBody, hops: number): RequestResult {
  const find = (key: string): JsonMember | undefined => body.members.find((member) => member.key === key);
  const value = (member: JsonMember): unknown => JSON.parse(body.bytes.toString("utf8", member.valueStart, member.valueEnd)) as unknown;
  const refuse = (param: string, message: string): RequestResult => ({
    ok: false,
    error: relayError("invalid_request", message, { param }),
  });

  const model = find("model");
  if (model === undefined || model.kind !== "string") return refuse("model", "Name the model: `model` must be a string.");
  if (model.valueEnd - model.valueStart > MODEL_LENGTH_MAX * 6) return refuse("model", "This model name is too long.");
  const name = String(value(model));
  if (name === "" || name.length > MODEL_LENGTH_MAX)
    return refuse("model", "Name the model: `model` must be a string of 1 to 256 characters.");
  if (CONTROL_CHARACTER.test(name)) return refuse("model", "This model name has a control character in it.");

  const stream = find("stream");
  if (stream !== undefined && !["true", "false", "null"].includes(stream.kind)) return refuse("stream", "`stream` must be true or false.");
  const isStream = endpoint !== "embeddings" && stream?.kind === "true";

  const options = find("stream_options");
  if (
    options !== undefined &&
    (options.valueEnd - options.valueStart > MEMBER_BYTES_MAX || (options.kind !== "object" && options.kind !== "null"))
  )
    return refuse("stream_options", "`stream_options` must be a small object.");
  const wantsUsage = options?.kind === "object" && (value(options) as Record<string, unknown>)["include_usage"] === true;

  const required = REQUIRED[endpoint];
  const given = find(required.key);
  if (given === undefined || !required.kinds.includes(given.kind))
    return refuse(required.key, `\`${required.key}\` must be ${required.what}.`);

  const n = find("n");
  const choices =
    n === undefined || n.kind === "null" ? 1 : n.kind === "number" && n.valueEnd - n.valueStart < 16 ? Number(value(n)) : Number.NaN;
  if (!Number.isInteger(choices) || choices < 1 || choices > CHOICES_MAX) return refuse("n", "`n` must be a whole number from 1 to 128.");

  const bestOf = find("best_of");
  const tries = endpoint === "completions" && bestOf?.kind === "number" ? Number(value(bestOf)) : 1;
  if (!Number.isInteger(tries) || tries < 1 || tries > CHOICES_MAX)
    return refuse("best_of", "`best_of` must be a whole number from 1 to 128.");

  // Upstreams differ in which of the two they heed: the larger one is what can be billed.
  const limits = [find("max_completion_tokens"), find("max_tokens")].flatMap((limit) =>
    limit?.kind === "number" && limit.valueEnd - limit.valueStart < 16 ? [Number(value(limit))] : [],
  );
  const most = Math.max(...limits);
  const outputTokensMax = limits.length > 0 && most >= 0 ? Math.ceil(most) : null;
  const prompts = endpoint === "completions" && given.kind === "array" ? promptsIn(value(given)) : 1;

  return {
    ok: true,
    request: {
      outputTokensMax,
      endpoint,
      body: body.bytes,
      members: body.members,
      model: name,
      isStream,
      wantsUsage,
      choices: choices * prompts,
      answersMax: Math.max(choices, tries) * prompts,
      hops,
    },
  };
}

/** A list of texts, or of lists of token ids, is a prompt each; a list of token ids is one. */
function promptsIn(list: unknown): number {
  return Array.isArray(list) && list.some((item) => typeof item !== "number") ? list.length : 1;
}
