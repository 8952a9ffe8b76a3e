import type { SseEnd, SseHandler, SseLimits } from "./sse.ts";
import { SseScanner } from "./sse.ts";

/** `ignoreBOM` because only the stream's first bytes may be a byte order mark; the scanner dropped it. */
const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** An event as text. */
export interface SseEvent {
  readonly event: string;
  readonly data: string;
  readonly lastEventId: string;
}

export interface SseReaderOptions extends Partial<SseLimits> {
  readonly onComment?: (text: string) => void;
  readonly onStray?: (line: string) => void;
}

/** The scanner for callers that need text: bytes in, decoded events out. Bad UTF-8 becomes U+FFFD. */
export class SseReader {
  readonly #scanner: SseScanner;
  #events: SseEvent[] = [];
  #reconnectionMs: number | null = null;
  #exceeded = false;

  constructor(options: SseReaderOptions = {}) {
    const handler: SseHandler = {
      onEvent: (data, _frame, event, lastEventId) => {
        this.#events.push({ event, data: decoder.decode(data), lastEventId });
      },
      onComment: (text) => options.onComment?.(decoder.decode(text)),
      onRetry: (ms) => {
        this.#reconnectionMs = ms;
      },
      onStray: (line) => options.onStray?.(decoder.decode(line)),
    };
    this.#scanner = new SseScanner(handler, options);
  }

  /** The id a client would send when it reconnects now. */
  get lastEventId(): string {
    return this.#scanner.lastEventId;
  }

  /** The last valid `retry` field. */
  get reconnectionMs(): number | null {
    return this.#reconnectionMs;
  }

  /** An event was larger than the limit; nothing more will come. */
  get exceeded(): boolean {
    return this.#exceeded;
  }

  /** Takes the next bytes and returns the events they complete. */
  push(bytes: Uint8Array): readonly SseEvent[] {
    if (!this.#scanner.push(bytes)) this.#exceeded = true;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Ends the body; an unfinished event is dropped. */
  end(): SseEnd {
    return this.#scanner.end();
  }
}
