/**
 * Server-sent events on bytes: the WHATWG event-stream algorithm as a push scanner, and the frames we write.
 *
 * Bytes stay bytes here. If a piece has a whole event in it, the scanner hands on views of the piece. It copies only the
 * unfinished end of a piece, into one buffer that never grows past the limit.
 */

import { hasNameAt, indexOrEnd, isDigit } from "./bytes.ts";

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const LOWER_D = 0x64;

const BOM: Uint8Array = new Uint8Array([0xef, 0xbb, 0xbf]);
const EMPTY: Uint8Array = new Uint8Array(0);

const EVENT_BYTES_MAX_DEFAULT = 1024 * 1024;
const CARRY_BYTES_FIRST = 1024;
/** A buffer that one large event made bigger than this is let go, so that idle streams stay small. */
const CARRY_BYTES_KEPT_MAX = 64 * 1024;
/** The two line ends of a canonical frame are written behind the data, so there is always room for them. */
const FRAME_END_BYTES = 2;

const encoder: TextEncoder = new TextEncoder();
/** `ignoreBOM` because only the stream's first bytes may be a byte order mark; later ones are text. */
const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A keep-alive comment. One newline: with a blank line after it several clients see an empty event. */
export const KEEP_ALIVE: Uint8Array = encoder.encode(": ka\n");

/** The end marker of the OpenAI dialect. */
export const DONE_FRAME: Uint8Array = encoder.encode("data: [DONE]\n\n");

/** What a scanner tells. Every `Uint8Array` is a view that is valid only during the call. */
export interface SseHandler {
  /**
   * One event.
   * @param data the data lines, joined by LF
   * @param frame the event's own bytes with its blank line when it stood in canonical form (`data: X\n\n`: one
   *   data line, one space, LF ends, no other field), else null. Comment lines are not part of an event.
   * @param type `message`, or the name the event gave
   * @param lastEventId the id in force, which is that of an earlier event when this one has none
   */
  onEvent(data: Uint8Array, frame: Uint8Array | null, type: string, lastEventId: string): void;
  /** The text after the colon of a comment line, one leading space removed. */
  onComment?(text: Uint8Array): void;
  /** A valid `retry` field. */
  onRetry?(ms: number): void;
  /** A line whose field name is none of the four: some upstreams put bare JSON errors there. */
  onStray?(line: Uint8Array): void;
}

export interface SseLimits {
  /** Bytes of one event with all its lines, a line end counted as one byte; also of a single comment line. */
  readonly eventBytesMax: number;
}

/** How a body ended for a scanner. */
export interface SseEnd {
  /** A block had begun and its blank line never came; it is dropped. */
  readonly incompleteTail: boolean;
  /** The last line when it had no line end, as it came: a bare JSON document would be here. */
  readonly tail: Uint8Array;
}

/** The event-stream algorithm over pieces of any size. Each byte is looked at a constant number of times. */
export class SseScanner {
  readonly #handler: SseHandler;
  readonly #eventBytesMax: number;

  /**
   * The unfinished block: the data collected so far, then (from #lineStart) the line that has no end yet. As
   * long as the block is one canonical data line, this is the start of its frame, byte for byte.
   */
  #carry: Uint8Array = EMPTY;
  #length = 0;
  #lineStart = 0;
  #dataStart = 0;
  #dataEnd = 0;
  #dataLines = 0;
  /** Bytes of the block's finished lines, comments left out. */
  #blockBytes = 0;
  #canonical = true;

  #type = "";
  #idBuffer = "";
  #lastEventId = "";
  #bomMatched = 0;
  #atStart = true;
  #swallowLf = false;
  #exceeded = false;

  constructor(handler: SseHandler, limits: Partial<SseLimits> = {}) {
    this.#handler = handler;
    this.#eventBytesMax = limits.eventBytesMax ?? EVENT_BYTES_MAX_DEFAULT;
  }

  /** The id a client would send when it reconnects now. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /**
   * Takes the next bytes of the body and reports what they complete. Returns false once an event was larger
   * than the limit; from then on nothing is kept and all further bytes are ignored.
   */
  push(bytes: Uint8Array): boolean {
    const rest = this.#atStart ? this.#skipBom(bytes) : bytes;
    if (!this.#exceeded && rest.length > 0) this.#scan(rest);
    return !this.#exceeded;
  }

  /** Ends the body. An unfinished block is dropped, as the standard asks. */
  end(): SseEnd {
    if (this.#atStart) this.#leaveStart();
    const tail = this.#carry.slice(this.#lineStart, this.#length);
    const incompleteTail = this.#exceeded || tail.length > 0 || this.#blockBytes > 0;
    this.#carry = EMPTY;
    this.#resetBlock();
    return { incompleteTail, tail };
  }

  /** A byte order mark may be cut too, so its first bytes are held back until it is clear what they are. */
  #skipBom(bytes: Uint8Array): Uint8Array {
    let at = 0;
    while (at < bytes.length && this.#bomMatched < BOM.length) {
      if (bytes[at] !== BOM[this.#bomMatched]) {
        const held = this.#bomMatched - at;
        this.#leaveStart(held);
        return bytes;
      }
      at += 1;
      this.#bomMatched += 1;
    }
    if (this.#bomMatched === BOM.length) this.#atStart = false;
    return bytes.subarray(at);
  }

  /** The bytes held back as a possible byte order mark were ordinary ones. */
  #leaveStart(held: number = this.#bomMatched): void {
    this.#atStart = false;
    if (held > 0) this.#scan(BOM.subarray(0, held));
  }

  #scan(piece: Uint8Array): void {
    let at = 0;
    if (this.#swallowLf) {
      this.#swallowLf = false;
      if (piece[0] === LF) at = 1;
    }
    const size = piece.length;
    let lf = indexOrEnd(piece, LF, at);
    // Searched once, then only when passed: a stream without CR pays one search a piece.
    let cr = indexOrEnd(piece, CR, at);
    while (lf < size || cr < size) {
      if (lf < cr && piece[lf + 1] === LF && this.#length === 0 && startsWithData(piece, at, lf)) {
        this.#emitWhole(piece, at, lf);
        at = lf + 2;
      } else {
        const end = Math.min(lf, cr);
        this.#takeLine(piece, at, end);
        at = end + 1;
        if (end === cr) {
          if (at === size) this.#swallowLf = true;
          else if (piece[at] === LF) at += 1;
        }
      }
      if (this.#exceeded) return;
      if (lf < at) lf = indexOrEnd(piece, LF, at);
      if (cr < at) cr = indexOrEnd(piece, CR, at);
    }
    if (at < size) this.#append(piece, at, size);
  }

  /** The common case: the only data line of an event and the blank line after it lie in one piece. */
  #emitWhole(piece: Uint8Array, start: number, lf: number): void {
    if (!this.#fits(lf - start + 1)) return;
    const hasSpace = piece[start + 5] === SPACE;
    const data = piece.subarray(hasSpace ? start + 6 : start + 5, lf);
    const frame = hasSpace && this.#blockBytes === 0 ? piece.subarray(start, lf + 2) : null;
    this.#emit(data, frame);
  }

  /** A line that ends at `end` of the piece; it may have begun in an earlier one. */
  #takeLine(piece: Uint8Array, start: number, end: number): void {
    const isCarried = this.#length > this.#lineStart;
    const lineBytes = this.#length - this.#lineStart + end - start;
    if (lineBytes === 0) {
      this.#endBlock(piece[end] === LF);
      return;
    }
    if (!this.#fits(lineBytes + 1)) return;
    // Only data must outlive its line; no other known field begins with this letter.
    if (!isCarried && piece[start] !== LOWER_D) {
      this.#takeField(piece, start, end, piece[end] === LF);
      return;
    }
    this.#append(piece, start, end);
    this.#takeField(this.#carry, this.#lineStart, this.#length, piece[end] === LF);
  }

  #takeField(line: Uint8Array, start: number, end: number, endsWithLf: boolean): void {
    if (line[start] === COLON) {
      this.#length = this.#lineStart;
      this.#handler.onComment?.(line.subarray(line[start + 1] === SPACE && start + 1 < end ? start + 2 : start + 1, end));
      return;
    }
    this.#blockBytes += end - start + 1;
    const colon = colonIn(line, start, end);
    const valueStart = colon === end ? end : line[colon + 1] === SPACE && colon + 1 < end ? colon + 2 : colon + 1;
    if (isField(line, start, colon, "data")) {
      this.#keepData(valueStart, endsWithLf);
      return;
    }
    this.#canonical = false;
    this.#length = this.#lineStart;
    if (isField(line, start, colon, "event")) this.#type = decoder.decode(line.subarray(valueStart, end));
    else if (isField(line, start, colon, "id")) this.#takeId(line.subarray(valueStart, end));
    else if (isField(line, start, colon, "retry")) this.#takeRetry(line.subarray(valueStart, end));
    else this.#handler.onStray?.(line.subarray(start, end));
  }

  /**
   * The carried line is a data line whose value begins at `valueStart`. The first data line stays where it is; the value of a
   * further one moves up behind it, over its own field name.
   */
  #keepData(valueStart: number, endsWithLf: boolean): void {
    if (this.#dataLines === 0) {
      this.#dataStart = valueStart;
      this.#dataEnd = this.#length;
      const hasOneSpace = valueStart === 6;
      this.#canonical = this.#canonical && hasOneSpace && endsWithLf;
    } else {
      this.#carry.copyWithin(this.#dataEnd + 1, valueStart, this.#length);
      this.#dataEnd += 1 + this.#length - valueStart;
      this.#canonical = false;
    }
    this.#dataLines += 1;
    this.#carry[this.#dataEnd] = LF;
    this.#length = this.#dataEnd + 1;
    this.#lineStart = this.#length;
  }

  #takeId(value: Uint8Array): void {
    if (!value.includes(0)) this.#idBuffer = decoder.decode(value);
  }

  #takeRetry(value: Uint8Array): void {
    if (value.length === 0 || !value.every(isDigit)) return;
    this.#handler.onRetry?.(Math.min(Number(decoder.decode(value)), Number.MAX_SAFE_INTEGER));
  }

  #endBlock(endsWithLf: boolean): void {
    if (this.#dataLines === 0) {
      this.#lastEventId = this.#idBuffer;
      this.#resetBlock();
      return;
    }
    const isCanonical = this.#canonical && endsWithLf;
    if (isCanonical) this.#carry[this.#dataEnd + 1] = LF;
    const data = this.#carry.subarray(this.#dataStart, this.#dataEnd);
    const frame = isCanonical ? this.#carry.subarray(0, this.#dataEnd + FRAME_END_BYTES) : null;
    this.#emit(data, frame);
  }

  #emit(data: Uint8Array, frame: Uint8Array | null): void {
    const type = this.#type === "" ? "message" : this.#type;
    this.#lastEventId = this.#idBuffer;
    this.#resetBlock();
    this.#handler.onEvent(data, frame, type, this.#lastEventId);
  }

  #resetBlock(): void {
    this.#length = 0;
    this.#lineStart = 0;
    this.#dataLines = 0;
    this.#blockBytes = 0;
    this.#canonical = true;
    this.#type = "";
    if (this.#carry.length > CARRY_BYTES_KEPT_MAX) this.#carry = EMPTY;
  }

  /** Whether the block has room for a line of this many more bytes; if not, the scanner gives up for good. */
  #fits(lineBytes: number): boolean {
    if (this.#blockBytes + lineBytes <= this.#eventBytesMax) return true;
    this.#exceeded = true;
    this.#carry = EMPTY;
    this.#resetBlock();
    return false;
  }

  #append(piece: Uint8Array, start: number, end: number): void {
    const added = end - start;
    if (!this.#fits(this.#length - this.#lineStart + added)) return;
    this.#reserve(this.#length + added + FRAME_END_BYTES);
    // Few bytes are copied faster by hand than through a view.
    if (added <= 16) for (let i = 0; i < added; i += 1) this.#carry[this.#length + i] = piece[start + i] ?? 0;
    else this.#carry.set(piece.subarray(start, end), this.#length);
    this.#length += added;
  }

  #reserve(capacity: number): void {
    if (capacity <= this.#carry.length) return;
    const doubled = Math.min(Math.max(this.#carry.length * 2, CARRY_BYTES_FIRST), this.#eventBytesMax + FRAME_END_BYTES);
    const grown = new Uint8Array(Math.max(capacity, doubled));
    grown.set(this.#carry.subarray(0, this.#length));
    this.#carry = grown;
  }
}

/** Writes an event in canonical form; data with LF in it needs one data line for each of its lines. */
export function frameEvent(data: Uint8Array): Uint8Array {
  const lines: Uint8Array[] = [];
  for (let start = 0; start <= data.length;) {
    const end = indexOrEnd(data, LF, start);
    lines.push(data.subarray(start, end));
    start = end + 1;
  }
  const frame = new Uint8Array(data.length + lines.length * 6 + 2);
  let at = 0;
  for (const line of lines) {
    frame.set(DONE_FRAME.subarray(0, 6), at);
    frame.set(line, at + 6);
    at += 6 + line.length;
    frame[at] = LF;
    at += 1;
  }
  frame[at] = LF;
  return frame;
}

/** `data:` at `start`, compared by hand because this runs for every event. */
function startsWithData(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= 5 && bytes[start] === LOWER_D && hasNameAt(bytes, start, "data:");
}

/** The first colon of a line, or its end. No known name is longer than five bytes, so the search stops there. */
function colonIn(line: Uint8Array, start: number, end: number): number {
  const searchEnd = Math.min(end, start + 6);
  for (let i = start; i < searchEnd; i += 1) if (line[i] === COLON) return i;
  return end;
}

function isField(line: Uint8Array, start: number, end: number, name: string): boolean {
  return end - start === name.length && hasNameAt(line, start, name);
}
