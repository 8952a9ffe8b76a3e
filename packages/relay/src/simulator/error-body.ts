import type { ErrorBodyShape, ErrorEventShape } from "./fault.ts";
import type { StreamEvent } from "./stream-item.ts";

interface Wording {
  readonly message: string;
  readonly type: string;
  readonly code: string | null;
}

const OPENAI: Readonly<Record<number, Wording>> = {
  400: { message: "The request is not valid.", type: "invalid_request_error", code: null },
  401: {
    message: "Incorrect API key provided.",
    type: "invalid_request_error",
    code: "invalid_api_key",
  },
  402: { message: "Insufficient Balance", type: "insufficient_quota", code: "insufficient_quota" },
  403: {
    message: "Country, region, or territory not supported",
    type: "permission_error",
    code: "unsupported_country",
  },
  404: {
    message: "The model does not exist.",
    type: "invalid_request_error",
    code: "model_not_found",
  },
  413: { message: "Request too large.", type: "invalid_request_error", code: "request_too_large" },
  422: { message: "A parameter is not valid.", type: "invalid_request_error", code: null },
  429: { message: "Rate limit reached.", type: "rate_limit_error", code: "rate_limit_exceeded" },
};

const SERVER_ERROR: Wording = {
  message: "The server had an error.",
  type: "server_error",
  code: "server_error",
};

/** An error as a JSON body of OpenAI's shape. */
export function errorJson(message: string, type: string, code: string | null, param: string | null = null): string {
  return JSON.stringify({ error: { message, type, param, code } });
}

/** Body and content type of an error status; `message` replaces the usual one. */
export function statusBody(
  status: number,
  shape: ErrorBodyShape,
  message?: string,
): { readonly contentType: string; readonly body: string } {
  const known = OPENAI[status] ?? (status < 500 ? OPENAI[400] : undefined) ?? SERVER_ERROR;
  const words: Wording = message === undefined ? known : { ...known, message };
  const json = "application/json";
  switch (shape) {
    case "openai":
      return { contentType: json, body: errorJson(words.message, words.type, words.code) };
    case "deepseek":
      return {
        contentType: json,
        body: errorJson(words.message, deepSeekType(status), "invalid_request_error"),
      };
    case "detail":
      return { contentType: json, body: JSON.stringify({ detail: words.message }) };
    case "text":
      return { contentType: "text/plain", body: words.message };
    case "html":
      return {
        contentType: "text/html",
        body: `<html><body><h1>${status}</h1><p>${words.message}</p></body></html>`,
      };
    case "empty":
      return { contentType: "text/plain", body: "" };
  }
}

function deepSeekType(status: number): string {
  if (status === 401) return "authentication_error";
  return status === 402 ? "unknown_error" : "invalid_request_error";
}

/** The events with which a stream of this shape tells an error; `chunkHead` starts a chunk of the stream. */
export function errorEvents(shape: ErrorEventShape, message: string, chunkHead: string): readonly StreamEvent[] {
  const openai = errorJson(message, "server_error", "server_error");
  switch (shape) {
    case "openai":
      return [{ data: openai }];
    case "string":
      return [{ data: JSON.stringify({ error: message }) }];
    case "vllm":
      return [{ data: vllmError(message) }, { data: "[DONE]" }];
    case "openrouter":
      return [{ data: openRouterError(message, chunkHead) }];
    case "named":
      return [{ data: openai, name: "error" }];
  }
}

function vllmError(message: string): string {
  return JSON.stringify({
    error: { message, type: "InternalServerError", param: null, code: 500 },
  });
}

function openRouterError(message: string, chunkHead: string): string {
  const error = JSON.stringify({ code: 502, message, metadata: { error_type: "provider_error" } });
  return `${chunkHead}"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":${error}}`;
}
