import { Buffer } from "node:buffer";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";

import type { SeenRecord } from "./seen-request.ts";

/** How an answer ends: as HTTP wants it, by FIN without the terminating chunk, or by RST. */
export type End = "clean" | "fin" | "rst";

/** What the transport does to the body. */
export interface BodyShape {
  /** Ends the answer after this many body bytes. */
  readonly cut?: { readonly bytes: number; readonly end: End };
  /** Sends one byte at a time, with this many milliseconds between bytes; 0 = without a wait. */
  readonly byteEveryMs?: number;
  /** Makes each body byte an HTTP chunk of its own, and sends the chunks together. */
  readonly tinyChunks?: boolean;
  /** No length: the end of the connection is the end of the body. */
  readonly closeDelimited?: boolean;
}

/** A longer timer would fire at once. */
const TIMER_MS_MAX = 2_147_483_647;

/**
 * Sends one answer. It owns the only wait of its request (a pause, a full socket or a hang), so that the wait ends at
 * once when the client or the simulator closes.
 */
export class Outlet {
  readonly seen: SeenRecord;
  readonly socket: Socket;
  readonly #response: ServerResponse;
  readonly #shape: BodyShape;
  readonly #startedAt = performance.now();
  #isGone = false;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(response: ServerResponse, socket: Socket, seen: SeenRecord, shape: BodyShape) {
    this.#response = response;
    this.socket = socket;
    this.seen = seen;
    this.#shape = shape;
  }

  /** True once nothing more can or shall be written: cut, ended, or closed by either side. */
  get isOver(): boolean {
    return this.#isGone || this.#isEnded;
  }

  /** Sends status and headers at once. */
  open(status: number, headers: OutgoingHttpHeaders, whenOpened: "at-once" | "with-body" = "at-once"): void {
    if (this.isOver) return;
    if (this.#shape.closeDelimited === true) {
      this.#response.removeHeader("transfer-encoding");
      this.#response.setHeader("connection", "close");
    }
    this.#response.writeHead(status, headers);
    const { cut, tinyChunks } = this.#shape;
    if (whenOpened === "at-once" || cut !== undefined || tinyChunks === true) this.#response.flushHeaders();
  }

  /** Writes body bytes; a promise when the socket is full or the shape asks for waiting. */
  send(bytes: string | Uint8Array): Promise<void> | undefined {
    if (this.isOver) return undefined;
    const { cut } = this.#shape;
    if (cut === undefined) return this.#write(bytes);
    const left = cut.bytes - this.seen.bytesWritten;
    const all = asBuffer(bytes);
    if (all.length < left) return this.#write(all);
    return this.#sendLast(all.subarray(0, left), cut.end);
  }

  /** Writes straight to the connection, around HTTP. */
  async sendRaw(bytes: string | Uint8Array): Promise<void> {
    if (this.isOver) return;
    this.seen.bytesWritten += Buffer.byteLength(bytes);
    if (!this.socket.write(bytes)) await this.#drained(this.socket);
  }

  /** Waits until this many milliseconds after the request was read. */
  sleepUntil(ms: number): Promise<void> | undefined {
    const left = this.#startedAt + ms - performance.now();
    return left <= 0 ? undefined : this.sleep(left);
  }

  /** Waits, or until the connection is closed. */
  sleep(ms: number): Promise<void> {
    return this.#wait((wake) => {
      const timer = setTimeout(wake, Math.min(ms, TIMER_MS_MAX));
      return () => clearTimeout(timer);
    });
  }

  /** Waits until the client or the simulator closes. */
  hang(): Promise<void> {
    return this.#wait(() => () => undefined);
  }

  /** Ends the answer. */
  async end(how: End): Promise<void> {
    if (this.isOver) return;
    if (how === "clean") return this.#endClean();
    this.#isEnded = true;
    this.seen.finishedAt = performance.now();
    // Node gathers the writes of one turn; after a turn they are on the socket.
    await nextTurn();
    if (how === "fin") this.socket.destroySoon();
    else await this.#reset();
  }

  /** The connection has closed, or the client has ended its side. */
  leave(isPeer: boolean): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (isPeer && this.seen.finishedAt === null) this.seen.closedByPeerAt = performance.now();
    this.#wake?.();
  }

  async #endClean(): Promise<void> {
    await this.#wait((wake) => {
      this.#response.once("finish", wake);
      this.#response.end();
      return () => this.#response.off("finish", wake);
    });
    this.#isEnded = true;
    if (!this.#isGone) this.seen.finishedAt = performance.now();
  }

  async #reset(): Promise<void> {
    while (this.socket.writableLength > 0 && !this.#isGone) await this.sleep(1);
    // A reset would throw away the bytes that are still under way inside the machine.
    await this.sleep(2);
    this.socket.resetAndDestroy();
  }

  #write(bytes: string | Uint8Array): Promise<void> | undefined {
    const { byteEveryMs } = this.#shape;
    return byteEveryMs === undefined ? this.#put(bytes) : this.#sendByByte(asBuffer(bytes), byteEveryMs);
  }

  #put(bytes: string | Uint8Array): Promise<void> | undefined {
    if (bytes.length === 0) return undefined;
    this.seen.bytesWritten += Buffer.byteLength(bytes);
    const tiny = this.#shape.tinyChunks === true;
    const hasRoom = tiny ? this.socket.write(chunkEachByte(asBuffer(bytes))) : this.#response.write(bytes);
    return hasRoom ? undefined : this.#drained(tiny ? this.socket : this.#response);
  }

  async #sendByByte(bytes: Uint8Array, everyMs: number): Promise<void> {
    for (let at = 0; at < bytes.length && !this.isOver; at += 1) {
      await this.#put(bytes.subarray(at, at + 1));
      await (everyMs > 0 ? this.sleep(everyMs) : nextTurn());
    }
  }

  async #sendLast(bytes: Uint8Array, end: End): Promise<void> {
    await this.#write(bytes);
    await this.end(end);
  }

  async #drained(target: ServerResponse | Socket): Promise<void> {
    await this.#wait((wake) => {
      target.once("drain", wake);
      return () => target.off("drain", wake);
    });
    // A reader as fast as this writer must not keep the other connections waiting.
    await nextTurn();
  }

  #wait(start: (wake: () => void) => () => void): Promise<void> {
    if (this.#isGone) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wake = undefined;
        stop();
        resolve();
      };
      this.#wake = wake;
      const stop = start(wake);
    });
  }
}

function asBuffer(bytes: string | Uint8Array): Buffer {
  return typeof bytes === "string" ? Buffer.from(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function chunkEachByte(bytes: Buffer): Buffer {
  const out = Buffer.alloc(bytes.length * 6);
  for (const [at, byte] of bytes.entries()) {
    out.write("1\r\n", at * 6, "latin1");
    out[at * 6 + 3] = byte;
    out.write("\r\n", at * 6 + 4, "latin1");
  }
  return out;
}
