/**
 * The client's side of a streamed answer: when its status leaves, what is held back until there is content, and the
 * comments that keep a silent stream alive.
 */
import { KEEP_ALIVE } from "@millrace/wire/sse";
import type { Sink } from "./sink.ts";

/** A stream without content gets its status by then; the next upstream stays possible. */
const OPEN_AFTER_MS = 10_000;
/** Longest silence on an open stream. */
const KEEP_ALIVE_MS = 15_000;
/** Events held back before the first content, in bytes. */
const HELD_BYTES_MAX = 1024 * 1024;

export interface StreamTimes {
  readonly openAfterMs: number;
  readonly keepAliveMs: number;
}

export const STREAM_TIMES: StreamTimes = { openAfterMs: OPEN_AFTER_MS, keepAliveMs: KEEP_ALIVE_MS };

export class ClientStream {
  readonly #sink: Sink;
  readonly #times: StreamTimes;
  readonly #startedAt: number;
  readonly #headers: () => Readonly<Record<string, string>>;
  #lastWriteAt: number;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #hasContent = false;
  /** When the first content left, for TTFT. */
  firstContentOutAt: number | null = null;

  constructor(sink: Sink, times: StreamTimes, now: number, headers: () => Readonly<Record<string, string>>) {
    this.#sink = sink;
    this.#times = times;
    this.#startedAt = now;
    this.#lastWriteAt = now;
    this.#headers = headers;
  }

  /** Content was sent: from here on no other upstream may answer. */
  get hasContent(): boolean {
    return this.#hasContent;
  }

  /** Keeps events that are no content yet. False when there are too many. */
  hold(pieces: readonly Uint8Array[]): boolean {
    for (const piece of pieces) {
      this.#held.push(piece);
      this.#heldBytes += piece.length;
    }
    return this.#heldBytes <= HELD_BYTES_MAX;
  }

  /** Forgets what a failed attempt left behind. */
  dropHeld(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Sends whole events, those held back first. False when the client reads too slowly. */
  send(pieces: readonly Uint8Array[], now: number): boolean {
    this.#open();
    if (!this.#hasContent) {
      this.#hasContent = true;
      this.firstContentOutAt = now;
    }
    this.#lastWriteAt = now;
    const all = this.#held.length === 0 ? pieces : [...this.#held, ...pieces];
    this.dropHeld();
    return this.#sink.write(all.length === 1 && all[0] !== undefined ? all[0] : Buffer.concat(all));
  }

  #open(): void {
    if (!this.#sink.isOpen) this.#sink.open({ contentType: "text/event-stream; charset=utf-8", headers: this.#headers() });
  }

  /** Opens a stream that has waited long enough, and breaks long silences. */
  tick(now: number): void {
    if (this.#sink.isGone) return;
    if (!this.#sink.isOpen) {
      if (now - this.#startedAt < this.#times.openAfterMs) return;
      this.#open();
    } else if (now - this.#lastWriteAt < this.#times.keepAliveMs || this.#sink.waitingBytes > 0) return;
    this.#lastWriteAt = now;
    this.#sink.write(KEEP_ALIVE);
  }

  /** The good end: what is still held, then the last frame. */
  end(last: Uint8Array): void {
    this.#open();
    const all = [...this.#held, last];
    this.dropHeld();
    this.#sink.end(Buffer.concat(all));
  }
}
