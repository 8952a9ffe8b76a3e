/**
 * What happens to events between an upstream and a client. An event that no transform changes leaves as the bytes that came, and
 * neighbours of that kind leave as one run; a changed one is framed anew.
 */
import { frameEvent } from "@millrace/wire/sse";

/** One event on its way to the client. */
export interface PipedEvent {
  /** The JSON of its data lines. */
  readonly data: Buffer;
  /** The data, parsed; null where the event differs from an earlier one in its text alone, and was not parsed. */
  readonly value: object | null;
}

export interface EventTransform {
  /** Told of each packet before its events. */
  onPacket?(packet: Buffer): void;
  /** False for most events, at next to no cost: `apply` need not see them. */
  concerns(event: PipedEvent): boolean;
  /** @returns the new data, or the same object when nothing changes. */
  apply(event: PipedEvent): Buffer;
}

export class EventPipe {
  readonly #transforms: readonly EventTransform[];
  /** The packet in work, and the run of its bytes that goes out untouched. */
  #packet: Buffer = Buffer.alloc(0);
  #runStart = 0;
  #runEnd = 0;
  #pieces: Uint8Array[] = [];

  /** @param transforms in the order in which they are applied. */
  constructor(transforms: readonly EventTransform[]) {
    this.#transforms = transforms;
  }

  /** Begins a packet; frames of the next events may lie in it. */
  startPacket(packet: Buffer): void {
    this.#packet = packet;
    this.#runStart = this.#runEnd = 0;
    for (const transform of this.#transforms) transform.onPacket?.(packet);
  }

  /** @param frame the event's bytes where it came in canonical form, else null. */
  push(event: PipedEvent, frame: Uint8Array | null): void {
    let now = event;
    for (const transform of this.#transforms) {
      const data = transform.concerns(now) ? transform.apply(now) : now.data;
      if (data !== now.data) now = { data, value: event.value };
    }
    if (now !== event || frame === null) this.#add(Buffer.from(frameEvent(onOneLine(now.data))));
    else if (frame.buffer !== this.#packet.buffer) this.#add(Buffer.from(frame));
    else this.#extendRun(frame);
  }

  #extendRun(frame: Uint8Array): void {
    const start = frame.byteOffset - this.#packet.byteOffset;
    if (start !== this.#runEnd) {
      this.#closeRun();
      this.#runStart = start;
    }
    this.#runEnd = start + frame.length;
  }

  #add(piece: Uint8Array): void {
    this.#closeRun();
    this.#pieces.push(piece);
  }

  #closeRun(): void {
    if (this.#runEnd > this.#runStart) this.#pieces.push(this.#packet.subarray(this.#runStart, this.#runEnd));
    this.#runStart = this.#runEnd = 0;
  }

  /** Whole events that wait, in order. */
  get pieces(): readonly Uint8Array[] {
    this.#closeRun();
    return this.#pieces;
  }

  /** The same, and they wait no longer. */
  take(): readonly Uint8Array[] {
    const { pieces } = this;
    this.#pieces = [];
    return pieces;
  }
}

/** JSON on one line: many programs read a stream line by line. A line end in valid JSON is white space and no more. */
function onOneLine(json: Buffer): Buffer {
  return json.includes(0x0a) ? Buffer.from(json.toString("latin1").replaceAll("\n", " "), "latin1") : json;
}
