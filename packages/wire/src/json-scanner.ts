/**
 * An incremental JSON validator on UTF-8 bytes. It builds no values. It says whether a text is JSON within the limits, where the
 * top-level members are, and how much text the document has.
 */

import { CLOSE_BRACE, CLOSE_BRACKET, COLON, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "./json-grammar.ts";
import * as grammar from "./json-grammar.ts";
import { CutKey, isProtoKey, PROTO_KEY } from "./json-key.ts";

export type JsonKind = grammar.JsonKind;

/** A member of the top-level object; offsets count bytes from the start of the document. */
export interface JsonMember {
  readonly key: string;
  /** The opening quote of the key. */
  readonly keyStart: number;
  readonly valueStart: number;
  /** One past the last byte of the value. */
  readonly valueEnd: number;
  readonly kind: JsonKind;
}

export interface JsonFault {
  readonly reason: "syntax" | "depth" | "items" | "duplicate_key" | "proto_key" | "unfinished";
  /** The byte that made the text unacceptable; for the reasons that concern a key, its opening quote. */
  readonly offset: number;
  readonly key?: string;
}

export interface JsonScanLimits {
  /** Objects and arrays inside each other, the outermost included. */
  readonly depthMax: number;
  /** Object keys and array elements together, at all depths. */
  readonly itemsMax: number;
}

const DEPTH_MAX_DEFAULT = 64;
const ITEMS_MAX_DEFAULT = 50_000;

/** What comes next. The last three are inside a token, where any byte can be the last of a piece. */
const VALUE = 0;
const VALUE_OR_CLOSE = 1;
const KEY = 2;
const KEY_OR_CLOSE = 3;
const COLON_NEXT = 4;
const AFTER_VALUE = 5;
const DONE = 6;
const IN_STRING = 7;
const IN_NUMBER = 8;
const IN_WORD = 9;

const DATA_URL_PREFIX = "data:";

/** Reads a document in pieces, cut anywhere. The first fault is final. */
export class JsonScanner {
  readonly #depthMax: number;
  readonly #itemsMax: number;
  readonly #members: JsonMember[] = [];
  readonly #keys = new Set<string>();
  /** Whether the container at each depth (from 1) is an object. */
  readonly #isObjectAt: boolean[] = [];

  #state = VALUE;
  #fault: JsonFault | null = null;
  /** Offset of the present piece in the document. */
  #base = 0;
  #depth = 0;
  #items = 0;
  #root: JsonKind | null = null;
  #textBytes = 0;
  #bigStringBytes = 0;

  #inKey = false;
  #stringStart = 0;
  #hasEscape = false;
  #text: number = grammar.TEXT;
  /** How far the string matches `data:`, or -1 when it does not. */
  #prefixMatched = 0;
  readonly #cutKey = new CutKey();

  #number = 0;
  #word = "";
  #wordMatched = 0;

  #key = "";
  #keyStart = 0;
  #valueStart = 0;
  #kind: JsonKind = "null";

  constructor(limits: Partial<JsonScanLimits> = {}) {
    this.#depthMax = limits.depthMax ?? DEPTH_MAX_DEFAULT;
    this.#itemsMax = limits.itemsMax ?? ITEMS_MAX_DEFAULT;
  }

  /** The kind of the document, known from its first byte on. */
  get root(): JsonKind | null {
    return this.#root;
  }

  /** The members of the top-level object whose values are complete, in order. */
  get members(): readonly JsonMember[] {
    return this.#members;
  }

  /** Bytes inside string values, as written; data URLs (images and the like) are left out. */
  get textBytes(): number {
    return this.#textBytes;
  }

  /** Bytes inside the string values that are data URLs. */
  get bigStringBytes(): number {
    return this.#bigStringBytes;
  }

  /** Takes the next bytes; returns the fault once there is one. */
  push(bytes: Uint8Array): JsonFault | null {
    let at = 0;
    while (at < bytes.length && this.#fault === null) at = this.#step(bytes, at);
    if (this.#fault !== null) return this.#fault;
    if (this.#state === IN_STRING && this.#inKey) {
      this.#cutKey.add(bytes.subarray(Math.max(0, this.#stringStart - this.#base)));
    }
    this.#base += bytes.length;
    return null;
  }

  /** Ends the document; a text that is not whole yet is a fault. */
  end(): JsonFault | null {
    if (this.#fault !== null) return this.#fault;
    if (this.#state === IN_NUMBER && grammar.endsNumber(this.#number)) this.#endValue(this.#base);
    if (this.#state !== DONE) this.#fault = { reason: "unfinished", offset: this.#base };
    return this.#fault;
  }

  #step(bytes: Uint8Array, at: number): number {
    switch (this.#state) {
      case IN_STRING:
        return this.#scanString(bytes, at);
      case IN_NUMBER:
        return this.#scanNumber(bytes, at);
      case IN_WORD:
        return this.#scanWord(bytes, at);
      default:
        return this.#scanStructure(bytes, at);
    }
  }

  #scanStructure(bytes: Uint8Array, from: number): number {
    let at = from;
    while (at < bytes.length && grammar.isSpace(bytes[at] ?? 0)) at += 1;
    const byte = bytes[at];
    if (byte === undefined) return at;
    switch (this.#state) {
      case VALUE_OR_CLOSE:
        if (byte === CLOSE_BRACKET) this.#close(at);
        else this.#beginValue(byte, at);
        break;
      case KEY_OR_CLOSE:
        if (byte === CLOSE_BRACE) this.#close(at);
        else this.#beginKey(byte, at);
        break;
      case VALUE:
        this.#beginValue(byte, at);
        break;
      case KEY:
        this.#beginKey(byte, at);
        break;
      case COLON_NEXT:
        if (byte === COLON) this.#state = VALUE;
        else this.#fail("syntax", at);
        break;
      case AFTER_VALUE:
        this.#continueContainer(byte, at);
        break;
      default:
        this.#fail("syntax", at);
    }
    return at + 1;
  }

  #continueContainer(byte: number, at: number): void {
    const isObject = this.#isObjectAt[this.#depth] === true;
    if (byte === COMMA) this.#state = isObject ? KEY : VALUE;
    else if (byte === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) this.#close(at);
    else this.#fail("syntax", at);
  }

  #beginKey(byte: number, at: number): void {
    if (byte !== QUOTE) this.#fail("syntax", at);
    else if (this.#countItem(at)) this.#beginString(at, true);
  }

  #beginValue(byte: number, at: number): void {
    const kind = grammar.kindOf(byte);
    if (kind === null) return this.#fail("syntax", at);
    if (this.#depth > 0 && this.#isObjectAt[this.#depth] === false && !this.#countItem(at)) return;
    this.#root ??= kind;
    if (this.#depth === 1) {
      this.#valueStart = this.#base + at;
      this.#kind = kind;
    }
    if (kind === "object" || kind === "array") this.#open(byte, at);
    else if (kind === "string") this.#beginString(at, false);
    else if (kind === "number") {
      this.#number = grammar.nextNumber(grammar.NUMBER_BEGIN, byte);
      this.#state = IN_NUMBER;
    } else {
      this.#word = kind;
      this.#wordMatched = 1;
      this.#state = IN_WORD;
    }
  }

  #open(byte: number, at: number): void {
    if (this.#depth === this.#depthMax) return this.#fail("depth", at);
    this.#depth += 1;
    this.#isObjectAt[this.#depth] = byte === OPEN_BRACE;
    this.#state = byte === OPEN_BRACKET ? VALUE_OR_CLOSE : KEY_OR_CLOSE;
  }

  #close(at: number): void {
    this.#depth -= 1;
    this.#endValue(this.#base + at + 1);
  }

  #endValue(end: number): void {
    this.#state = this.#depth === 0 ? DONE : AFTER_VALUE;
    if (this.#depth !== 1 || this.#root !== "object") return;
    this.#members.push({
      key: this.#key,
      keyStart: this.#keyStart,
      valueStart: this.#valueStart,
      valueEnd: end,
      kind: this.#kind,
    });
  }

  #beginString(at: number, isKey: boolean): void {
    this.#state = IN_STRING;
    this.#inKey = isKey;
    this.#stringStart = this.#base + at + 1;
    this.#hasEscape = false;
    this.#prefixMatched = 0;
  }

  #scanString(bytes: Uint8Array, from: number): number {
    let at = this.#prefixMatched < 0 ? from : this.#matchPrefix(bytes, from);
    let text = this.#text;
    while (at < bytes.length) {
      if (text === grammar.TEXT) {
        at = grammar.skipPlain(bytes, at);
        const byte = bytes[at];
        if (byte === undefined) break;
        if (byte === QUOTE) {
          this.#text = text;
          this.#endString(bytes, at);
          return at + 1;
        }
        if (byte === grammar.BACKSLASH) {
          this.#hasEscape = true;
          const size = grammar.escapeSize(bytes, at);
          at += size;
          if (size > 0) continue;
        }
      }
      text = grammar.nextText(text, bytes[at] ?? 0);
      if (text === grammar.NO_TEXT) {
        this.#fail("syntax", at);
        return at;
      }
      at += 1;
    }
    this.#text = text;
    return at;
  }

  /** All bytes of the prefix are plain, so what matches needs no further look. */
  #matchPrefix(bytes: Uint8Array, from: number): number {
    let at = from;
    while (at < bytes.length && this.#prefixMatched < DATA_URL_PREFIX.length) {
      if (bytes[at] !== DATA_URL_PREFIX.charCodeAt(this.#prefixMatched)) {
        this.#prefixMatched = -1;
        return at;
      }
      this.#prefixMatched += 1;
      at += 1;
    }
    return at;
  }

  #endString(bytes: Uint8Array, at: number): void {
    const end = this.#base + at;
    if (this.#inKey) return this.#endKey(bytes, at);
    const size = end - this.#stringStart;
    if (this.#prefixMatched === DATA_URL_PREFIX.length) this.#bigStringBytes += size;
    else this.#textBytes += size;
    this.#endValue(end + 1);
  }

  #endKey(bytes: Uint8Array, at: number): void {
    this.#state = COLON_NEXT;
    const raw = this.#cutKey.endWith(bytes.subarray(Math.max(0, this.#stringStart - this.#base), at));
    const keyStart = this.#stringStart - 1;
    if (isProtoKey(raw, this.#hasEscape)) {
      this.#fault = { reason: "proto_key", offset: keyStart, key: PROTO_KEY };
    } else if (this.#depth === 1) {
      const key = grammar.decodeText(raw, this.#hasEscape);
      if (this.#keys.has(key)) {
        this.#fault = { reason: "duplicate_key", offset: keyStart, key };
      }
      this.#keys.add(key);
      this.#key = key;
      this.#keyStart = keyStart;
    }
  }

  #scanNumber(bytes: Uint8Array, from: number): number {
    let at = from;
    for (; at < bytes.length; at += 1) {
      const next = grammar.nextNumber(this.#number, bytes[at] ?? 0);
      if (next === grammar.NO_NUMBER) break;
      this.#number = next;
    }
    if (at === bytes.length) return at;
    if (grammar.endsNumber(this.#number)) this.#endValue(this.#base + at);
    else this.#fail("syntax", at);
    return at;
  }

  #scanWord(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== this.#word.charCodeAt(this.#wordMatched)) {
      this.#fail("syntax", at);
      return at;
    }
    this.#wordMatched += 1;
    if (this.#wordMatched === this.#word.length) this.#endValue(this.#base + at + 1);
    return at + 1;
  }

  #countItem(at: number): boolean {
    this.#items += 1;
    if (this.#items > this.#itemsMax) this.#fail("items", at);
    return this.#fault === null;
  }

  #fail(reason: JsonFault["reason"], at: number): void {
    this.#fault = { reason, offset: this.#base + at };
  }
}
