/** Small answers: JSON, text, and refusals that may come before the request was read to its end. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RelayError } from "../chat/failure.ts";
import { bodyOf, headersOf, statusOf } from "./error-table.ts";
import { ANSWER_HEADERS } from "./http-sink.ts";

/** Of a body that nobody wants, this much is read, so that the client sees the refusal instead of a reset. */
const DISCARD_BYTES_MAX = 4 * 1024 * 1024;
const DISCARD_MS = 2_000;

export function sendJson(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  if (response.headersSent || response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    ...ANSWER_HEADERS,
    ...headers,
  });
  response.end(text);
}

export function sendText(response: ServerResponse, status: number, text: string, contentType: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { "content-type": contentType, "content-length": String(Buffer.byteLength(text)), ...ANSWER_HEADERS });
  response.end(text);
}

/** Answers with an error; where the body is still coming, it is read off for a moment and the connection ends. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  error: RelayError,
  requestId: string,
  more: Readonly<Record<string, string>> = {},
): void {
  const isUnread = !request.complete;
  const headers = { "x-request-id": requestId, ...headersOf(error), ...more, ...(isUnread ? { connection: "close" } : {}) };
  sendJson(response, statusOf(error), bodyOf(error, requestId), headers);
  if (isUnread) discard(request);
}

function discard(request: IncomingMessage): void {
  let bytes = 0;
  const end = (): void => void request.socket.destroy();
  const timer = setTimeout(end, DISCARD_MS).unref();
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > DISCARD_BYTES_MAX) end();
  });
  request.on("end", () => clearTimeout(timer));
  request.resume();
}
