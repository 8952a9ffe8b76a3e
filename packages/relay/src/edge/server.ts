/** The listener: one HTTP server for data and control. Strict about heads, bounded in everything. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { relayError } from "../chat/failure.ts";
import { newRequestId } from "./request-id.ts";
import { refuse } from "./reply.ts";

const HEADERS_TIMEOUT_MS = 10_000;
/** Above the idle limits of common load balancers, so that they close first. */
const KEEP_ALIVE_MS = 75_000;
const REQUESTS_PER_SOCKET_MAX = 10_000;
/** Requests that one connection may have open at once (pipelining). */
const PIPELINED_MAX = 8;
const CONNECTIONS_MAX_DEFAULT = 10_000;

type RequestHandler = (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void>;

export interface ListenerSettings {
  readonly handle: RequestHandler;
  readonly onBug: (requestId: string, error: unknown) => void;
}

/** An HTTP server that is not listening yet. */
export function createListener(settings: ListenerSettings): Server {
  const open = new WeakMap<Duplex, number>();
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: 0,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    },
    (request, response) => {
      const requestId = newRequestId(Date.now());
      const socket = request.socket;
      const count = (open.get(socket) ?? 0) + 1;
      if (count > PIPELINED_MAX) return void socket.destroy();
      open.set(socket, count);
      response.on("close", () => open.set(socket, (open.get(socket) ?? 1) - 1));
      // A broken client connection is the sink's to see (`close`); without a listener it would end the process.
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
  server.maxConnections = connectionsMax();
  server.on("clientError", answerClientError);
  return server;
}

/** Half of the files this process may open: the rest is for upstreams and the store. */
function connectionsMax(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return line?.[1] === undefined ? CONNECTIONS_MAX_DEFAULT : Math.max(64, Math.floor(Number(line[1]) / 2));
  } catch {
    // No such file outside Linux.
    return CONNECTIONS_MAX_DEFAULT;
  }
}

const STATUS_OF_PARSER: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "413 Content Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const status = STATUS_OF_PARSER[error.code ?? ""] ?? "400 Bad Request";
  const body =
    '{"error":{"message":"This is not a request that HTTP/1.1 allows.","type":"invalid_request_error","param":null,"code":"invalid_request"}}\n';
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), 1_000).unref();
}
