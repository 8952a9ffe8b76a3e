/** A client that writes bytes of its own choice on a socket and reads the answers one by one. */
import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawSight {
  readonly answers: readonly RawAnswer[];
  /** Bytes after the last whole answer. */
  readonly rest: string;
  readonly isClosed: boolean;
  readonly ms: number;
}

export interface RawSettings {
  /** Stop waiting for more when so many answers came and nothing else followed for a moment. */
  readonly answers: number;
  /** Wait for the server to close. */
  readonly isClosing: boolean;
  readonly waitMs?: number;
  /** Answers that have no body whatever their head says (HEAD). */
  readonly isHead?: boolean;
}

/** Long enough for a second answer that should not come. */
const QUIET_MS = 40;

/** Sends bytes over a new connection; `probe` follows on the same connection once it is quiet. */
export function exchange(port: number, bytes: Buffer | string, settings: RawSettings, probe = ""): Promise<RawSight> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket = connect(port, "127.0.0.1");
    let text = "";
    let isClosed = false;
    let isProbed = probe === "";
    let quiet: NodeJS.Timeout | null = null;
    const finish = (): void => {
      clearTimeout(timer);
      if (quiet !== null) clearTimeout(quiet);
      const { answers, rest } = readAnswers(text, settings.isHead ?? false);
      socket.removeAllListeners("close").destroy();
      resolve({ answers, rest, isClosed, ms: performance.now() - startedAt });
    };
    const timer = setTimeout(finish, settings.waitMs ?? 15_000);
    const onQuiet = (): void => {
      if (settings.isClosing) return;
      if (isProbed) return finish();
      isProbed = true;
      socket.write(probe);
    };
    const wait = (): void => {
      if (quiet !== null) clearTimeout(quiet);
      const wanted = settings.answers + (isProbed && probe !== "" ? 1 : 0);
      if (readAnswers(text, settings.isHead ?? false).answers.length >= wanted) quiet = setTimeout(onQuiet, QUIET_MS);
    };
    socket.on("data", (piece: Buffer) => {
      text += piece.toString("latin1");
      wait();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      isClosed = true;
      finish();
    });
    socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  });
}

/** Splits what a server sent into whole answers. */
export function readAnswers(text: string, isHead = false): { answers: RawAnswer[]; rest: string } {
  const answers: RawAnswer[] = [];
  let rest = text;
  for (;;) {
    const match = /^HTTP\/1\.1 (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest);
    if (match === null) return { answers, rest };
    const status = Number(match[1]);
    const headers: Record<string, string> = {};
    for (const line of (match[2] ?? "").split("\r\n").filter((each) => each !== "")) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const after = rest.slice(match[0].length);
    const hasNoBody = isHead || status === 100 || status === 204 || status === 304;
    const body = hasNoBody ? { text: "", length: 0 } : readBody(headers, after);
    if (body === null) return { answers, rest };
    rest = after.slice(body.length);
    if (status !== 100) answers.push({ status, headers, body: body.text });
  }
}

function readBody(headers: Readonly<Record<string, string>>, after: string): { text: string; length: number } | null {
  if (headers["transfer-encoding"] !== "chunked") {
    const length = Number(headers["content-length"] ?? 0);
    return after.length < length ? null : { text: after.slice(0, length), length };
  }
  let at = 0;
  let text = "";
  for (;;) {
    const match = /^([0-9a-f]+)\r\n/.exec(after.slice(at, at + 12));
    if (match === null) return null;
    const size = Number.parseInt(match[1] ?? "", 16);
    const start = at + match[0].length;
    if (after.length < start + size + 2) return null;
    text += after.slice(start, start + size);
    at = start + size + 2;
    if (size === 0) return { text, length: at };
  }
}
