/** Small answers: JSON, text, and refusals that may come before the request was read to its end. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { RelayError } from "../chat/relay-error.ts";
import { bodyOf, headersOf, statusOf } from "./error-table.ts";
import { ANSWER_HEADERS } from "./http-sink.ts";

/** Read at most this many bytes of an unwanted body, so that the client receives the refusal instead of a reset. */
const DISCARD_BYTES_MAX = 16 * 1024 * 1024;
const DISCARD_MS = 2_000;

export function sendJson(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  if (response.headersSent || response.destroyed) return;
  response.end(writeJsonHead(response, status, body, headers));
}

/** @returns the body, which the caller sends. */
function writeJsonHead(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>>): string {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    ...ANSWER_HEADERS,
    ...headers,
  });
  return text;
}

export function sendText(response: ServerResponse, status: number, text: string, contentType: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { "content-type": contentType, "content-length": String(Buffer.byteLength(text)), ...ANSWER_HEADERS });
  response.end(text);
}

/** Connections that end with the answer under way. */
const last = new WeakSet<Duplex>();

/** True when nothing that still comes over this connection may be answered. */
export function isLast(socket: Duplex): boolean {
  return last.has(socket);
}

/**
 * Answers with an error. If the body is still arriving, the relay reads it for a moment and then closes the connection, because
 * a reset could destroy the answer.
 */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  error: RelayError,
  requestId: string,
  more: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  const isUnread = hasMore(request);
  const headers = { "x-request-id": requestId, ...headersOf(error), ...more, ...(isUnread ? { connection: "close" } : {}) };
  if ("connection" in headers) last.add(request.socket);
  if (!isUnread) return sendJson(response, statusOf(error), bodyOf(error, requestId), headers);
  const text = writeJsonHead(response, statusOf(error), bodyOf(error, requestId), headers);
  response.write(text);
  discardRest(request, () => response.end());
}

function hasMore(request: IncomingMessage): boolean {
  if (request.complete) return false;
  return request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
}

/** Reads and drops the rest of an unwanted body, up to a bound, then calls `done`; beyond the bound it ends the connection. */
export function discardRest(request: IncomingMessage, done?: () => void): void {
  if (!hasMore(request)) return done?.();
  let bytes = 0;
  const over = (): void => {
    clearTimeout(timer);
    if (done === undefined && !request.complete) request.socket.destroy();
    done?.();
  };
  const timer = setTimeout(over, DISCARD_MS).unref();
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > DISCARD_BYTES_MAX) over();
  });
  request.on("end", over).on("close", over);
  request.resume();
}
