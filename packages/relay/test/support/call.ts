/** A client that sees bytes and how they ended, and one that reads a stream the way the vectors define. */
import { request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { foldOpenAI } from "@millrace/wire/fold-openai";
import { SseReader } from "@millrace/wire/sse-reader";
import type { TestRelay } from "./start-relay.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body was ended as HTTP ends a whole one. */
  readonly isWhole: boolean;
}

export interface CallSettings {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  /** Without the relay's key. */
  readonly isAnonymous?: boolean;
  /** The client's own address, such as 127.0.0.9. */
  readonly from?: string;
  readonly onBytes?: (bytes: Buffer) => void;
}

export const MESSAGES = [{ role: "user", content: "Say something." }];

/** One request to the relay with its key; resolves also when the answer is cut. */
export function call(relay: Pick<TestRelay, "port" | "key">, settings: CallSettings = {}): Promise<Answer> {
  const body = settings.body === undefined ? { model: "m", stream: true, messages: MESSAGES } : settings.body;
  const bytes = body === null ? null : Buffer.isBuffer(body) ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port: relay.port,
        host: "127.0.0.1",
        path: settings.path ?? "/v1/chat/completions",
        method: settings.method ?? "POST",
        headers: {
          ...(settings.isAnonymous === true ? {} : { authorization: `Bearer ${relay.key}` }),
          ...(bytes === null ? {} : { "content-type": "application/json", "content-length": bytes.length }),
          ...settings.headers,
        },
        agent: false,
        ...(settings.from === undefined ? {} : { localAddress: settings.from }),
        ...(settings.signal === undefined ? {} : { signal: settings.signal }),
      },
      (response) => {
        const pieces: Buffer[] = [];
        const done = (): void =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(pieces).toString("utf8"),
            isWhole: response.complete,
          });
        response.on("data", (piece: Buffer) => {
          pieces.push(piece);
          settings.onBytes?.(piece);
        });
        response.on("error", () => undefined);
        response.on("close", done);
      },
    );
    sent.on("error", reject);
    sent.end(bytes ?? undefined);
  });
}

let strangers = 0;

/** A client address that nobody has used yet: one that sends wrong credentials has to wait after a few. */
export function newAddress(): string {
  strangers++;
  return `127.${1 + (strangers >> 16)}.${(strangers >> 8) & 255}.${strangers & 255}`;
}

/** What a strict reader makes of a streamed answer. */
export function readStream(answer: Answer): ReturnType<typeof foldOpenAI> {
  const reader = new SseReader();
  return foldOpenAI(reader.push(Buffer.from(answer.body)), answer.isWhole ? "eof" : "reset");
}

/** The error object of an answer or of the last event of a stream. */
export function errorOf(answer: Answer): { code: string; message: string; type: string; request_id: string; param: string | null } {
  const text = answer.body.trimEnd().split("\n").at(-1) ?? "";
  return (JSON.parse(text.replace(/^data: /, "")) as { error: ReturnType<typeof errorOf> }).error;
}
