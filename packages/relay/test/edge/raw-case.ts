/** What a row of the raw HTTP tables is, and the words they are written with. */

export interface RawCase {
  readonly name: string;
  readonly bytes: string;
  /** Statuses of all answers, in order. */
  readonly statuses: readonly number[];
  /** What becomes of the connection. */
  readonly ending: "open" | "closed";
  readonly isHead?: boolean;
  /** Code of the last answer's error. */
  readonly code?: string;
}

/** Replaced by the test with a living key of the same length. */
export const KEY = `@${"K".repeat(53)}@`;

const AUTHORIZATION = `Authorization: Bearer ${KEY}`;
const HOST = "Host: relay.test";

/** What an attacker hides behind a request: with a key, so that it would show as a 200 with a list of models. */
export const HIDDEN = `GET /v1/models HTTP/1.1\r\n${HOST}\r\n${AUTHORIZATION}\r\n\r\n`;

export const CHAT = JSON.stringify({ model: "m", messages: [{ role: "user", content: "raw" }] });

/** A head with a host and a key. */
export function head(line: string, ...headers: readonly string[]): string {
  return `${[line, HOST, AUTHORIZATION, ...headers].join("\r\n")}\r\n\r\n`;
}

/** A head with nothing but what is given. */
export function bare(line: string, ...headers: readonly string[]): string {
  return `${[line, ...headers].join("\r\n")}\r\n\r\n`;
}

export const models = (...headers: readonly string[]): string => head("GET /v1/models HTTP/1.1", ...headers);
export const chat = (...headers: readonly string[]): string =>
  head("POST /v1/chat/completions HTTP/1.1", "Content-Type: application/json", ...headers);
export const get = (path: string): string => head(`GET ${path} HTTP/1.1`);

export const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

/** Refused by the parser, and the connection with it. */
export function refused(name: string, bytes: string, status = 400): RawCase {
  return { name, bytes, statuses: [status], ending: "closed" };
}

export function answered(name: string, bytes: string, status: number, ending: "open" | "closed" = "open", code?: string): RawCase {
  return { name, bytes, statuses: [status], ending, ...(code === undefined ? {} : { code }) };
}
