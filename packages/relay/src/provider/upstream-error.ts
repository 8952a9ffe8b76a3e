/** Reads the error envelopes that OpenAI-compatible upstreams are known to use. */
import { isObject, parseJson } from "@millrace/wire/json-values";
import type { UpstreamError } from "./provider.ts";

const MESSAGE_MAX = 2_000;

/** Any parsed value -> the upstream's words. */
function readError(value: unknown): UpstreamError {
  const found = envelope(value);
  return {
    message: clip(found.message ?? "the upstream gave no message"),
    type: text(found.type),
    code: text(found.code),
    param: text(found.param),
  };
}

/** A body that may be JSON, plain text or HTML -> the upstream's words. */
export function readErrorBody(body: string): UpstreamError {
  const trimmed = body.trim();
  const parsed = parseJson(trimmed);
  if (parsed !== undefined) return readError(parsed);
  const isMarkup = trimmed.startsWith("<");
  return { message: trimmed === "" || isMarkup ? "the upstream gave no message" : clip(trimmed), type: null, code: null, param: null };
}

/** The error a parsed value carries, or null. `{"error": null}` carries none. */
export function findError(value: unknown): UpstreamError | null {
  const seen = Array.isArray(value) ? value[0] : value;
  if (!isObject(seen)) return null;
  const error = seen["error"];
  if (error !== undefined && error !== null) return readError(seen);
  if (seen["object"] === "error" || seen["type"] === "error") return readError(seen);
  return null;
}

interface Envelope {
  readonly message: string | null;
  readonly type?: unknown;
  readonly code?: unknown;
  readonly param?: unknown;
}

function envelope(value: unknown): Envelope {
  const seen = Array.isArray(value) ? value[0] : value;
  if (typeof seen === "string") return { message: seen };
  if (!isObject(seen)) return { message: null };
  const error = seen["error"];
  if (typeof error === "string") return { message: error };
  if (isObject(error))
    return { message: text(error["message"]), type: error["type"] ?? error["status"], code: error["code"], param: error["param"] };
  const detail = seen["detail"];
  if (typeof detail === "string") return { message: detail };
  if (Array.isArray(detail)) return { message: detail.map(validationLine).join("; ") };
  return { message: text(seen["message"]), type: seen["type"], code: seen["code"], param: seen["param"] };
}

function validationLine(entry: unknown): string {
  if (!isObject(entry)) return String(entry);
  const place = Array.isArray(entry["loc"]) ? entry["loc"].join(".") : "";
  return `${place}: ${text(entry["msg"]) ?? "invalid"}`;
}

function text(value: unknown): string | null {
  if (typeof value === "string") return value;
  return typeof value === "number" ? String(value) : null;
}

function clip(message: string): string {
  return message.length > MESSAGE_MAX ? `${message.slice(0, MESSAGE_MAX)}...` : message;
}
