/** The transforms of a relayed stream, in the order in which they are applied: repair, the model's public name, redaction. */
import { findMember } from "@millrace/wire/json-scan";
import type { EventTransform, PipedEvent } from "./event-pipe.ts";
import { EventRepair, isForRepair } from "./event-repair.ts";
import type { Mark } from "../insight/row.ts";
import type { Redactor } from "./redact.ts";

/** @param publicModel the public name as JSON, or null when the upstream knows the model by the same one. @param onMark is told of a change that rows name. */
export function eventTransforms(publicModel: Buffer | null, redactor: Redactor, onMark: (mark: Mark) => void): EventTransform[] {
  const named = publicModel === null ? [] : [new PublicModel(publicModel)];
  return [new Repair(onMark), ...named, new Redaction(redactor, onMark)];
}

/** The public name, as JSON, where the upstream was asked for the model by another one; else null. */
export function publicModelOf(asked: string, sent: string): Buffer | null {
  return asked === sent ? null : Buffer.from(JSON.stringify(asked));
}

/** JSON with another value of its top-level `model`, or the same object where it has none. */
export function withModel(json: Buffer, publicModel: Buffer): Buffer {
  const place = findMember(json, "model");
  return place === null ? json : Buffer.concat([json.subarray(0, place.start), publicModel, json.subarray(place.end)]);
}

/** Mends what stock SDKs misread. Events that were not parsed cannot hold any of it. */
class Repair implements EventTransform {
  readonly #repair = new EventRepair();
  readonly #onMark: (mark: Mark) => void;

  constructor(onMark: (mark: Mark) => void) {
    this.#onMark = onMark;
  }

  concerns({ value }: PipedEvent): boolean {
    return value !== null && isForRepair(value);
  }

  apply({ data, value }: PipedEvent): Buffer {
    const mended = value === null ? null : this.#repair.mend(value, data);
    if (mended === null) return data;
    this.#onMark("mended");
    return mended;
  }
}

class PublicModel implements EventTransform {
  readonly #name: Buffer;

  constructor(name: Buffer) {
    this.#name = name;
  }

  concerns(): boolean {
    return true;
  }

  apply({ data }: PipedEvent): Buffer {
    return withModel(data, this.#name);
  }
}

class Redaction implements EventTransform {
  readonly #redactor: Redactor;
  readonly #onMark: (mark: Mark) => void;
  #packet: Buffer = Buffer.alloc(0);
  #holdsSecret = false;

  constructor(redactor: Redactor, onMark: (mark: Mark) => void) {
    this.#redactor = redactor;
    this.#onMark = onMark;
  }

  onPacket(packet: Buffer): void {
    this.#packet = packet;
    this.#holdsSecret = this.#redactor.holdsSecret(packet);
  }

  /** An event that began in an earlier packet may hold a secret that no packet holds whole. */
  concerns({ data }: PipedEvent): boolean {
    return this.#holdsSecret || (data.buffer !== this.#packet.buffer && this.#redactor.holdsSecret(data));
  }

  apply({ data }: PipedEvent): Buffer {
    const clean = this.#redactor.clean(data);
    if (clean !== data) this.#onMark("redacted");
    return clean;
  }
}
