/** A worker with an event loop of its own: sends one large body over a raw socket and tells how it was answered. */
import { connect } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { readAnswers } from "./raw.ts";

/** What the worker is told. */
export interface LargeBody {
  readonly port: number;
  readonly key: string;
  /** `length` names it in the head; `none` names more than it sends and sends nothing. */
  readonly framing: "length" | "chunked" | "none";
  /** The body is `before`, so many `filler`, `after`. */
  readonly before: string;
  readonly filler: string;
  readonly count: number;
  readonly after: string;
}

/** What the worker tells. */
export interface LargeSight {
  readonly status: number;
  readonly body: string;
  /** From the last byte sent, or from the head where none was. */
  readonly ms: number;
}

const { port, key, framing, before, filler, count, after } = workerData as LargeBody;
const body = Buffer.concat([Buffer.from(before), Buffer.alloc(filler.length * count, filler), Buffer.from(after)]);
const socket = connect(port, "127.0.0.1");
let text = "";
let sentAt = performance.now();

/** Resolves when the socket takes more, or is gone. */
function mayWrite(): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      socket.off("drain", over).off("close", over);
      resolve();
    };
    socket.on("drain", over).on("close", over);
  });
}

socket.on("data", (piece: Buffer) => {
  text += piece.toString("latin1");
  const answer = readAnswers(text).answers[0];
  if (answer === undefined) return;
  parentPort?.postMessage({ status: answer.status, body: answer.body, ms: performance.now() - sentAt } satisfies LargeSight);
  socket.destroy();
});
socket.on("error", (error: NodeJS.ErrnoException) => {
  if (text === "") parentPort?.postMessage({ status: 0, body: error.code ?? "", ms: 0 } satisfies LargeSight);
});
const framed = framing === "chunked" ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
socket.write(
  `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n${framed}\r\n\r\n`,
);
if (framing !== "none") {
  for (let at = 0; at < body.length; at += 65_536) {
    const piece = body.subarray(at, at + 65_536);
    const bytes =
      framing === "chunked" ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]) : piece;
    if (!socket.write(bytes)) await mayWrite();
    if (socket.destroyed) break;
  }
  if (framing === "chunked") socket.write("0\r\n\r\n");
  sentAt = performance.now();
}
