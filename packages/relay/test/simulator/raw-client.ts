import { connect } from "node:net";
import type { Socket } from "node:net";

/** What a client without an HTTP library saw on its connection. */
export interface RawSight {
  readonly text: string;
  readonly bytes: Buffer;
  /** How the server ended it; `open` when it had not within the time. */
  readonly end: "fin" | "rst" | "open";
}

export function chatRequest(body: object, headers: Readonly<Record<string, string>> = {}): string {
  const json = JSON.stringify({
    model: "m",
    messages: [{ role: "user", content: "hello" }],
    ...body,
  });
  const lines = Object.entries({
    host: "127.0.0.1",
    authorization: "Bearer sk-secret-1234",
    ...headers,
  });
  return (
    `POST /v1/chat/completions HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}` +
    `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
  );
}

/** Sends text over a new connection and listens until the server ends it, or for `waitMs`. */
export async function exchangeRaw(port: number, request: string, waitMs = 300): Promise<RawSight> {
  const socket = connect(port, "127.0.0.1");
  const sight = listenRaw(socket, waitMs);
  socket.write(request);
  return sight;
}

/** Gathers what arrives on a connection until the server ends it, or for `waitMs`; then closes it. */
export function listenRaw(socket: Socket, waitMs: number): Promise<RawSight> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let end: RawSight["end"] = "open";
    const timer = setTimeout(() => socket.destroy(), waitMs);
    socket.on("data", (part: Buffer) => parts.push(part));
    socket.on("end", () => {
      end = "fin";
    });
    socket.on("error", () => {
      end = "rst";
    });
    socket.on("close", () => {
      clearTimeout(timer);
      const bytes = Buffer.concat(parts);
      resolve({ bytes, text: bytes.toString("latin1"), end });
    });
  });
}

/** Waits until `check` holds; fails after `waitMs`. */
export async function until(check: () => boolean, waitMs = 3000): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`not within ${waitMs} ms: ${check.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The bytes of a chunked body, whether or not it was terminated. */
export function bodyOf(seen: RawSight): { readonly text: string; readonly isTerminated: boolean } {
  let rest = seen.text.slice(seen.text.indexOf("\r\n\r\n") + 4);
  let text = "";
  for (;;) {
    const match = /^([0-9a-f]+)\r\n/.exec(rest);
    const size = Number.parseInt(match?.[1] ?? "", 16);
    if (match === null || Number.isNaN(size)) return { text, isTerminated: false };
    if (size === 0) return { text, isTerminated: true };
    text += rest.slice(match[0].length, match[0].length + size);
    rest = rest.slice(match[0].length + size + 2);
  }
}
