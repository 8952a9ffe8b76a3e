/** Deliveries to the client of a request, over its sink. */
import type { ClientDialect } from "./client-dialect.ts";
import type { Delivery, StreamDelivery } from "./delivery.ts";
import type { RelayError } from "./relay-error.ts";
import type { Sink } from "./sink.ts";
import type { Ticking } from "./ticker.ts";

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

/** Headers of an answer that leaves now. */
type Headers = () => Readonly<Record<string, string>>;

abstract class ClientDelivery implements Delivery {
  protected readonly sink: Sink;
  protected readonly dialect: ClientDialect;
  protected readonly headers: Headers;

  constructor(sink: Sink, dialect: ClientDialect, headers: Headers) {
    this.sink = sink;
    this.dialect = dialect;
    this.headers = headers;
  }

  abstract readonly isCommitted: boolean;
  abstract readonly firstContentAt: number | null;
  abstract append(pieces: readonly Uint8Array[], now: number): boolean;
  abstract end(rest: Buffer | null): void;

  fail(error: RelayError): void {
    this.sink.fail(error);
  }

  destroy(): void {
    this.sink.destroy();
  }

  get status(): number {
    return this.sink.status;
  }

  get bytesOut(): number {
    return this.sink.bytesOut;
  }
}

/** Decides when a stream's status leaves, holds events back until there is content, and fills silence. */
export class ClientStream extends ClientDelivery implements StreamDelivery, Ticking {
  readonly #times: StreamTimes;
  readonly #startedAt: number;
  #lastWriteAt: number;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  firstContentAt: number | null = null;

  /** @param now when the request came, in milliseconds of the monotonic clock. */
  constructor(sink: Sink, dialect: ClientDialect, headers: Headers, times: StreamTimes, now: number) {
    super(sink, dialect, headers);
    this.#times = times;
    this.#startedAt = now;
    this.#lastWriteAt = now;
  }

  get isCommitted(): boolean {
    return this.firstContentAt !== null;
  }

  hold(pieces: readonly Uint8Array[]): boolean {
    for (const piece of pieces) {
      this.#held.push(piece);
      this.#heldBytes += piece.length;
    }
    return this.#heldBytes <= HELD_BYTES_MAX;
  }

  drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** Sends whole events, those held back first. */
  append(pieces: readonly Uint8Array[], now: number): boolean {
    this.#open();
    this.firstContentAt ??= now;
    this.#lastWriteAt = now;
    return this.sink.write(this.#withHeld(pieces));
  }

  #withHeld(pieces: readonly Uint8Array[]): Uint8Array {
    const all = this.#held.length === 0 ? pieces : [...this.#held, ...pieces];
    this.drop();
    const [only] = all;
    return all.length === 1 && only !== undefined ? only : Buffer.concat(all);
  }

  #open(): void {
    if (!this.sink.isOpen) this.sink.open({ contentType: this.dialect.streamType, headers: this.headers() });
  }

  /** Opens a stream that has waited long enough, and breaks long silences. */
  tick(now: number): void {
    if (this.sink.isGone) return;
    if (!this.sink.isOpen) {
      if (now - this.#startedAt < this.#times.openAfterMs) return;
      this.#open();
    } else if (now - this.#lastWriteAt < this.#times.keepAliveMs || this.sink.waitingBytes > 0) return;
    this.#lastWriteAt = now;
    this.sink.write(this.dialect.keepAlive);
  }

  /** What is still held, then the dialect's last frame. */
  end(): void {
    this.#open();
    this.sink.end(this.#withHeld([this.dialect.done]));
  }
}

/** Opens a plain answer with its first bytes: with their length where they are all there is. */
export class ClientBody extends ClientDelivery {
  readonly firstContentAt = null;

  get isCommitted(): boolean {
    return this.sink.isOpen;
  }

  append(pieces: readonly Uint8Array[]): boolean {
    this.#open({});
    return pieces.map((piece) => this.sink.write(piece)).every(Boolean);
  }

  end(rest: Buffer | null): void {
    this.#open({ "content-length": String(rest?.length ?? 0) });
    this.sink.end(rest ?? undefined);
  }

  #open(more: Readonly<Record<string, string>>): void {
    if (!this.sink.isOpen) this.sink.open({ contentType: this.dialect.plainType, headers: { ...this.headers(), ...more } });
  }
}
