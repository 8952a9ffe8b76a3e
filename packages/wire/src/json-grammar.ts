import { isDigit } from "./bytes.ts";

/** The grammar of JSON's tokens (RFC 8259) as small state machines that take one byte at a time. */

export type JsonKind = "string" | "number" | "object" | "array" | "true" | "false" | "null";

/** JSON's bytes of structure. */
export const BACKSLASH = 0x5c;
export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;

const decoder: TextDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** What a string expects next. The continuation states are those of well-formed UTF-8 (RFC 3629). */
export const NO_TEXT = -1;
export const TEXT = 0;
const ESCAPE = 1;
const HEX_4 = 2;
const HEX_3 = 3;
const HEX_2 = 4;
const HEX_1 = 5;
const MORE_1 = 6;
const MORE_2 = 7;
const MORE_3 = 8;
/** After lead bytes whose next byte has a narrower range: overlong forms, surrogates, beyond U+10FFFF. */
const AFTER_E0 = 9;
const AFTER_ED = 10;
const AFTER_F0 = 11;
const AFTER_F4 = 12;

/** What a number expects next; a number may end in those that {@link endsNumber} names. */
export const NO_NUMBER = -1;
export const NUMBER_BEGIN = 0;
const AFTER_MINUS = 1;
const AFTER_ZERO = 2;
const IN_INTEGER = 3;
const AFTER_POINT = 4;
const IN_FRACTION = 5;
const AFTER_E = 6;
const AFTER_SIGN = 7;
const IN_EXPONENT = 8;

/** 1 for the bytes that a string may hold and that need no thought: printable ASCII but quote and backslash. */
const PLAIN: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
);
const ESCAPED: Uint8Array = new Uint8Array(256);
for (const char of '"\\/bfnrt') ESCAPED[char.charCodeAt(0)] = 1;

/** Whether the byte is white space to JSON. */
export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** The kind of value that begins with this byte; null when none does. */
export function kindOf(byte: number): JsonKind | null {
  switch (byte) {
    case QUOTE:
      return "string";
    case 0x7b:
      return "object";
    case 0x5b:
      return "array";
    case 0x74:
      return "true";
    case 0x66:
      return "false";
    case 0x6e:
      return "null";
    default:
      return byte === 0x2d || isDigit(byte) ? "number" : null;
  }
}

/**
 * The index of the next byte that needs a closer look: it is neither plain nor part of a complete, common character of two or three
 * bytes. A scan spends almost all its time here; {@link nextText} does the rest.
 */
export function skipPlain(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    while (at < bytes.length && PLAIN[bytes[at] ?? 0] === 1) at += 1;
    const size = sizeOfCommon(bytes, at);
    if (size === 0) return at;
    at += size;
  }
}

function sizeOfCommon(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0xc2 || lead > 0xef || !isContinuation(bytes[at + 1])) return 0;
  if (lead < 0xe0) return 2;
  const isNarrow = lead === 0xe0 || lead === 0xed;
  return !isNarrow && isContinuation(bytes[at + 2]) ? 3 : 0;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** Size of the escape that begins at a backslash, when it is valid and there as a whole; else 0. */
export function escapeSize(bytes: Uint8Array, at: number): number {
  const kind = bytes[at + 1] ?? 0;
  if (kind !== 0x75) return ESCAPED[kind] === 1 ? 2 : 0;
  return isHex(bytes[at + 2] ?? 0) && isHex(bytes[at + 3] ?? 0) && isHex(bytes[at + 4] ?? 0) && isHex(bytes[at + 5] ?? 0) ? 6 : 0;
}

/** The state of a string after one more byte of it (never its closing quote). */
export function nextText(state: number, byte: number): number {
  switch (state) {
    case TEXT:
      return byte === BACKSLASH ? ESCAPE : byte < 0x80 ? NO_TEXT : afterLead(byte);
    case ESCAPE:
      if (byte === 0x75) return HEX_4;
      return ESCAPED[byte] === 1 ? TEXT : NO_TEXT;
    case HEX_4:
    case HEX_3:
    case HEX_2:
      return isHex(byte) ? state + 1 : NO_TEXT;
    case HEX_1:
      return isHex(byte) ? TEXT : NO_TEXT;
    case AFTER_E0:
      return byte >= 0xa0 && byte <= 0xbf ? MORE_1 : NO_TEXT;
    case AFTER_ED:
      return byte >= 0x80 && byte <= 0x9f ? MORE_1 : NO_TEXT;
    case AFTER_F0:
      return byte >= 0x90 && byte <= 0xbf ? MORE_2 : NO_TEXT;
    case AFTER_F4:
      return byte >= 0x80 && byte <= 0x8f ? MORE_2 : NO_TEXT;
    default:
      if (byte < 0x80 || byte > 0xbf) return NO_TEXT;
      return state === MORE_1 ? TEXT : state - 1;
  }
}

function afterLead(byte: number): number {
  if (byte < 0xc2 || byte > 0xf4) return NO_TEXT;
  if (byte < 0xe0) return MORE_1;
  if (byte === 0xe0) return AFTER_E0;
  if (byte === 0xed) return AFTER_ED;
  if (byte < 0xf0) return MORE_2;
  if (byte === 0xf0) return AFTER_F0;
  return byte === 0xf4 ? AFTER_F4 : MORE_3;
}

/** The state of a number after one more byte; {@link NO_NUMBER} if the byte is not part of the number. */
export function nextNumber(state: number, byte: number): number {
  const isExponent = byte === 0x65 || byte === 0x45;
  switch (state) {
    case NUMBER_BEGIN:
    case AFTER_MINUS:
      if (byte === 0x2d && state === NUMBER_BEGIN) return AFTER_MINUS;
      if (byte === 0x30) return AFTER_ZERO;
      return isDigit(byte) ? IN_INTEGER : NO_NUMBER;
    case AFTER_ZERO:
    case IN_INTEGER:
      if (isDigit(byte)) return state === IN_INTEGER ? IN_INTEGER : NO_NUMBER;
      if (byte === 0x2e) return AFTER_POINT;
      return isExponent ? AFTER_E : NO_NUMBER;
    case AFTER_POINT:
      return isDigit(byte) ? IN_FRACTION : NO_NUMBER;
    case IN_FRACTION:
      if (isDigit(byte)) return IN_FRACTION;
      return isExponent ? AFTER_E : NO_NUMBER;
    case AFTER_E:
      if (byte === 0x2b || byte === 0x2d) return AFTER_SIGN;
      return isDigit(byte) ? IN_EXPONENT : NO_NUMBER;
    default:
      return isDigit(byte) ? IN_EXPONENT : NO_NUMBER;
  }
}

/** Whether a number may end here. */
export function endsNumber(state: number): boolean {
  return state === AFTER_ZERO || state === IN_INTEGER || state === IN_FRACTION || state === IN_EXPONENT;
}

/** The text that a valid string's bytes (without its quotes) stand for. */
export function decodeText(raw: Uint8Array, hasEscape: boolean): string {
  const text = decoder.decode(raw);
  return hasEscape ? (JSON.parse(`"${text}"`) as string) : text;
}

function isHex(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}
