/** The listener: one HTTP server for data and control. Strict about heads, bounded in everything. */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ErrorCode } from "@millrace/wire/error-codes";
import { CAPACITY } from "../config/capacity.ts";
import { errorText } from "../basics/error-text.ts";
import { relayError } from "../chat/relay-error.ts";
import { bodyOf } from "./error-table.ts";
import { newRequestId } from "./request-id.ts";
import { discardRest, isLast, refuse, sendJson } from "./reply.ts";

const HEADERS_TIMEOUT_MS = 10_000;
/** Longer than the idle limits of common load balancers, so that they close first. */
const KEEP_ALIVE_MS = 75_000;
const REQUESTS_PER_SOCKET_MAX = 10_000;
/** Requests that one connection may have open at once (pipelining). */
const PIPELINED_MAX = 8;
/** Bytes that a slow client may leave unread here before the relay stops reading its upstream. */
const WAITING_BYTES = 16 * 1024;

type RequestHandler = (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void>;

export interface ListenerSettings {
  readonly handle: RequestHandler;
  readonly onBug: (requestId: string, error: unknown) => void;
  readonly onTrouble: (message: string) => void;
  /** Filled with the responses that are not over: from a request's head until its answer was handed to the system. */
  readonly open: Set<ServerResponse>;
}

interface HttpExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** An HTTP server that is not listening yet. */
export function createListener(settings: ListenerSettings): Server {
  const open = new WeakMap<Duplex, Set<HttpExchange>>();
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: 0,
      // `readTarget` requires the header and answers with an error of our own.
      requireHostHeader: false,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
      highWaterMark: WAITING_BYTES,
    },
    (request, response) => {
      const requestId = newRequestId(Date.now());
      const socket = request.socket;
      // Ignore pipelined requests after a response with `Connection: close`; the client could not read their answers.
      if (isLast(socket)) return;
      const here = open.get(socket) ?? new Set();
      if (here.size >= PIPELINED_MAX) return void socket.destroy();
      const exchange = { request, response };
      open.set(socket, here.add(exchange));
      settings.open.add(response);
      response.on("close", () => {
        here.delete(exchange);
        settings.open.delete(response);
      });
      response.on("finish", () => discardRest(request));
      // The sink sees a broken client connection (`close`). Without this listener the error would end the process.
      response.on("error", () => undefined);
      settings.handle(request, response, requestId).catch((error: unknown) => {
        settings.onBug(requestId, error);
        if (response.headersSent) return void response.destroy();
        refuse(
          request,
          response,
          relayError("internal_error", "The relay made a mistake; it is in its log under this request id."),
          requestId,
        );
      });
    },
  );
  server.maxRequestsPerSocket = REQUESTS_PER_SOCKET_MAX;
  server.maxConnections = CAPACITY.connectionsMax;
  // Without a listener one connection that the system could not hand over would end the process.
  server.on("error", (error) => {
    if (server.listening) settings.onTrouble(`the relay could not accept a connection: ${errorText(error)}`);
  });
  server.on("clientError", (error, socket) => answerClientError(error, socket, open.get(socket)));
  server.on("connect", (_request, socket) =>
    endWith(socket, "405 Method Not Allowed", "method_not_allowed", "The relay is not an HTTP proxy."),
  );
  server.on("checkExpectation", (_request, response: ServerResponse) => {
    const requestId = newRequestId(Date.now());
    const error = relayError("invalid_request", "The relay meets no expectation but 100-continue.");
    sendJson(response, 417, bodyOf(error, requestId), { "x-request-id": requestId, connection: "close" });
  });
  return server;
}

const STATUS_OF_PARSER: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "413 Content Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

function answerClientError(error: NodeJS.ErrnoException, socket: Duplex, here: ReadonlySet<HttpExchange> = new Set()): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  if (error.code === "HPE_CLOSED_CONNECTION" || !mayAnswer([...here])) return endWith(socket);
  const status = STATUS_OF_PARSER[error.code ?? ""] ?? "400 Bad Request";
  endWith(socket, status, "invalid_request", "This is not a request that HTTP/1.1 allows.");
}

/**
 * Whether the relay may answer bytes that are not HTTP. It may if the client cannot take the answer for another one: on a quiet
 * connection, after a complete exchange, or as the answer to the one request whose body these bytes spoil.
 */
function mayAnswer(here: readonly HttpExchange[]): boolean {
  const [only] = here;
  if (only === undefined) return true;
  if (here.length > 1) return false;
  return only.request.complete ? only.response.writableEnded : !only.response.headersSent;
}

function endWith(socket: Duplex, status?: string, code: ErrorCode = "invalid_request", message = ""): void {
  const requestId = newRequestId(Date.now());
  const body = `${JSON.stringify(bodyOf(relayError(code, message), requestId))}\n`;
  const head = `Content-Type: application/json\r\nCache-Control: no-store\r\nX-Request-Id: ${requestId}\r\nConnection: close`;
  if (status === undefined) socket.end();
  else socket.end(`HTTP/1.1 ${status}\r\n${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), 1_000).unref();
}
