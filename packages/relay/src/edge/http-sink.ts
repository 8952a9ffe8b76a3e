/** A sink on an HTTP response. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { RelayError } from "../chat/relay-error.ts";
import type { AnswerHead, Sink } from "../chat/sink.ts";
import type { ClientDialect } from "../chat/client-dialect.ts";
import { headersOf, statusOf } from "./error-table.ts";

/** Sent with every answer of the data plane. An answer is for one key, so no cache may keep it, and no proxy may buffer or change it. */
export const ANSWER_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store, no-cache, no-transform",
  vary: "Authorization",
  "x-content-type-options": "nosniff",
};

/** The relay closes the connection of a client that takes no byte for this long. */
const CLIENT_STALL_MS = 60_000;

export class HttpSink implements Sink {
  readonly #response: ServerResponse;
  readonly #requestId: string;
  readonly #isStream: boolean;
  readonly #dialect: ClientDialect;
  #isOver = false;
  #isGone = false;
  #bytesOut = 0;
  #gone: (() => void) | null = null;
  #drain: (() => void) | null = null;

  constructor(response: ServerResponse, requestId: string, isStream: boolean, dialect: ClientDialect) {
    this.#response = response;
    this.#requestId = requestId;
    this.#isStream = isStream;
    this.#dialect = dialect;
    response.on("close", () => this.#onClose());
    response.on("drain", () => this.#onDrained());
    response.on("timeout", () => response.destroy());
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  get isOpen(): boolean {
    return this.#response.headersSent;
  }

  get status(): number {
    if (!this.isOpen && this.#isGone) return 499;
    return this.#response.statusCode;
  }

  get waitingBytes(): number {
    return this.#response.writableLength;
  }

  get bytesOut(): number {
    return this.#bytesOut;
  }

  onGone(listener: () => void): void {
    if (this.#isGone) listener();
    else this.#gone = listener;
  }

  onDrain(listener: () => void): void {
    this.#drain = listener;
  }

  open(head: AnswerHead): void {
    if (this.#isGone || this.isOpen) return;
    const extra = this.#isStream ? { "x-accel-buffering": "no" } : {};
    this.#response.writeHead(200, {
      "content-type": head.contentType,
      "x-request-id": this.#requestId,
      ...ANSWER_HEADERS,
      ...extra,
      ...head.headers,
    });
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isGone || this.#isOver) return true;
    this.#bytesOut += bytes.length;
    const isFlowing = this.#response.write(bytes);
    if (!isFlowing) this.#response.setTimeout(CLIENT_STALL_MS);
    return isFlowing;
  }

  end(bytes?: Uint8Array): void {
    if (this.#isGone || this.#isOver) return;
    this.#isOver = true;
    this.#bytesOut += bytes?.length ?? 0;
    this.#endOrDestroy(() => this.#response.end(bytes));
  }

  fail(error: RelayError): void {
    if (this.#isGone || this.#isOver) return;
    const words = this.#wordsOf(error);
    this.#isOver = true;
    this.#endOrDestroy(() => (this.isOpen ? this.#breakOff(words) : this.#refuse(error, words)));
  }

  /** Makes the text before the sink sends anything, so that a throw here leaves the sink as it was. */
  #wordsOf(error: RelayError): string {
    if (!this.isOpen) return `${this.#dialect.errorBody(error, this.#requestId)}\n`;
    return this.#isStream ? this.#dialect.errorFrame(error, this.#requestId) : "";
  }

  #refuse(error: RelayError, body: string): void {
    this.#response.writeHead(statusOf(error), {
      "content-type": this.#dialect.plainType,
      "x-request-id": this.#requestId,
      ...ANSWER_HEADERS,
      ...headersOf(error),
    });
    this.#response.end(body);
  }

  /** Whatever is thrown while an answer ends, its client does not wait for ever. */
  #endOrDestroy(end: () => void): void {
    try {
      end();
    } catch (error) {
      this.#response.destroy();
      throw error;
    }
  }

  /** Writes the last words, then closes the connection without ending the body, so that every client sees that the answer was cut. */
  #breakOff(words: string): void {
    if (words !== "") this.#response.write(words);
    const { socket } = this.#response;
    // An answer that waits behind another one on the same connection has no socket yet.
    if (socket === null) this.#response.once("socket", closeSoon);
    else closeSoon(socket);
  }

  destroy(): void {
    this.#response.destroy();
  }

  #onDrained(): void {
    this.#response.setTimeout(0);
    this.#drain?.();
  }

  #onClose(): void {
    if (this.#response.writableFinished || this.#isOver) return;
    this.#isGone = true;
    this.#gone?.();
  }
}

function closeSoon(socket: Socket): void {
  // In this tick Node hands over the bytes that were written before the response had its socket.
  setImmediate(() => socket.destroySoon());
  // A client that does not read would keep the rest waiting, and the socket open, for ever.
  socket.setTimeout(CLIENT_STALL_MS, () => socket.destroy());
}
