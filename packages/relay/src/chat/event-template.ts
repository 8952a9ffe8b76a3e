/**
 * Reads the common event of a stream without parsing it. Almost every event differs from the one before in one
 * string alone, its text. Where the bytes before and behind that string are the same as in an event that was
 * parsed, the new one is valid JSON of the same meaning with another text: nothing else could have changed.
 */
import { textEnd } from "@millrace/wire/json-text";
import type { EventFacts } from "../provider/provider.ts";

const EMPTY = Buffer.alloc(0);

export class EventTemplate {
  readonly #needles: readonly Buffer[];
  #head: Buffer = EMPTY;
  #tail: Buffer = EMPTY;
  /** Of the last match: size of the text in UTF-8 bytes and in UTF-16 code units (escapes as they are written). */
  textBytes = 0;
  textUnits = 0;

  /** @param textKeys keys whose string value is an event's text and decides nothing else. */
  constructor(textKeys: readonly string[]) {
    this.#needles = textKeys.map((key) => Buffer.from(`"${key}":"`));
  }

  /** True when the event is the learned one with another text that is not empty. */
  matches(data: Buffer): boolean {
    const head = this.#head;
    const tail = this.#tail;
    const textLength = data.length - head.length - tail.length;
    if (head.length === 0 || textLength < 1) return false;
    if (head.compare(data, 0, head.length) !== 0 || tail.compare(data, data.length - tail.length) !== 0) return false;
    if (textEnd(data, head.length) !== data.length - tail.length) return false;
    this.#measure(data, head.length, data.length - tail.length);
    return true;
  }

  #measure(data: Buffer, start: number, end: number): void {
    let units = 0;
    for (let at = start; at < end; at++) {
      const byte = data[at] ?? 0;
      if (byte < 0x80 || byte >= 0xc0) units += byte >= 0xf0 ? 2 : 1;
    }
    this.textBytes = end - start;
    this.textUnits = units;
  }

  /** Learns the bytes around an event's text. Ignores events that say more than a text: the next one would not be like them. */
  learn(data: Buffer, facts: EventFacts): void {
    if (!facts.hasContent || facts.text === "" || facts.finished.length > 0 || facts.usage !== null || facts.error !== null) return;
    for (const needle of this.#needles) {
      const at = data.indexOf(needle);
      if (at < 0 || data.indexOf(needle, at + 1) >= 0) continue;
      const start = at + needle.length;
      const end = textEnd(data, start);
      if (end <= start || JSON.parse(data.toString("utf8", start - 1, end + 1)) !== facts.text) continue;
      this.#head = Buffer.from(data.subarray(0, start));
      this.#tail = Buffer.from(data.subarray(end));
      return;
    }
  }
}
