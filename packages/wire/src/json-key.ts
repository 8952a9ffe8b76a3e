/** Keys of JSON objects: their bytes when a document is cut inside one, and the key that no object may have. */
import { hasNameAt } from "./bytes.ts";
import { decodeText } from "./json-grammar.ts";

export const PROTO_KEY = "__proto__";

/** `__proto__` with each character written as an escape of 6 bytes; a longer key cannot spell it. */
const PROTO_KEY_BYTES_MAX: number = PROTO_KEY.length * 6;

/** Whether a key, as it is written between its quotes, spells `__proto__`. */
export function isProtoKey(raw: Uint8Array, hasEscape: boolean): boolean {
  if (!hasEscape) return raw.length === PROTO_KEY.length && hasNameAt(raw, 0, PROTO_KEY);
  return raw.length <= PROTO_KEY_BYTES_MAX && decodeText(raw, true) === PROTO_KEY;
}

/** Collects the bytes of a key that is spread over several pieces of a document. One buffer serves all keys. */
export class CutKey {
  #bytes: Uint8Array = new Uint8Array(0);
  #size = 0;

  /** Copies the next bytes of the key. */
  add(part: Uint8Array): void {
    const size = this.#size + part.length;
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(size, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(part, this.#size);
    this.#size = size;
  }

  /** The whole key, whose last bytes these are; valid until the next `add`. A key that was not cut is not copied. */
  endWith(last: Uint8Array): Uint8Array {
    if (this.#size === 0) return last;
    this.add(last);
    const whole = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    return whole;
  }
}
