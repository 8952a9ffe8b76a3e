/** An upstream on a bare socket: it answers with exactly the bytes that a request names, and ends as it is told. */
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { listen } from "../../src/simulator/listen.ts";

export interface RawPlan {
  readonly bytes: Uint8Array;
  /** `open`: nothing more comes and the connection stays. `keep`: the next request is awaited. */
  readonly end: "fin" | "rst" | "open" | "keep";
}

export interface RawUpstream {
  readonly baseUrl: string;
  /** Requests that arrived whole. */
  readonly requests: () => number;
  readonly connections: () => number;
  readonly open: () => number;
  /** Resets every connection now. */
  reset(): void;
  close(): Promise<void>;
}

/** A reset throws away what the other side's machine has not taken yet. */
const BEFORE_RESET_MS = 3;

/** @param plan chooses the answer by the request's text and its number on its connection. */
export async function startRawUpstream(plan: (request: string, number: number) => RawPlan): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  let requests = 0;
  let connections = 0;
  const server: Server = createServer({ noDelay: true }, (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    let text = "";
    let number = 0;
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      const length = wholeLength(text);
      if (length === null) return;
      const request = text.slice(0, length);
      text = text.slice(length);
      requests += 1;
      number += 1;
      give(socket, plan(request, number));
    });
  });
  const port = await listen(server, "127.0.0.1");
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests: () => requests,
    connections: () => connections,
    open: () => sockets.size,
    reset: () => {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function give(socket: Socket, { bytes, end }: RawPlan): void {
  if (end === "fin") socket.end(bytes);
  else socket.write(bytes, () => (end === "rst" ? setTimeout(() => socket.resetAndDestroy(), BEFORE_RESET_MS) : undefined));
}

function wholeLength(text: string): number | null {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const length = headEnd + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
  return text.length >= length ? length : null;
}

const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/** A chunked answer as it stands on the wire: each piece is one chunk. */
export function chunked(pieces: readonly Uint8Array[], head = HEAD): Buffer {
  const parts: Uint8Array[] = [Buffer.from(head)];
  for (const piece of pieces) parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}
