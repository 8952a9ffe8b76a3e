/** Finds and changes top-level members by their bytes; all other bytes stay as they are. */

import { join } from "./bytes.ts";
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  decodeText,
  isSpace,
} from "./json-grammar.ts";
import type { JsonMember } from "./json-scanner.ts";

/** `set` replaces the value in place, or adds the member after the others; `json` is the value's text. */
export type JsonEdit =
  | { readonly kind: "set"; readonly key: string; readonly json: string }
  | { readonly kind: "remove"; readonly key: string };

/** The place of a value: its first byte, and one past its last. */
export interface JsonRange {
  readonly start: number;
  readonly end: number;
}

interface Splice extends JsonRange {
  readonly text: string;
}

const encoder: TextEncoder = new TextEncoder();

/**
 * Edits the top-level members of a document.
 * @param bytes a valid document whose root is an object
 * @param members all its members, as the scanner found them
 * @param edits applied in order: of several for one key, the last one counts
 */
export function editJson(bytes: Uint8Array, members: readonly JsonMember[], edits: readonly JsonEdit[]): Uint8Array {
  const wanted = new Map(edits.map((edit) => [edit.key, edit.kind === "set" ? edit.json : null]));
  const present = new Set(members.map((member) => member.key));
  const kept = members.filter((member) => wanted.get(member.key) !== null);
  const lastKept = kept.at(-1);
  const replaced = kept.flatMap((member) => {
    const text = wanted.get(member.key);
    return text == null ? [] : [{ start: member.valueStart, end: member.valueEnd, text }];
  });
  const added = [...wanted].flatMap(([key, json]) => (json === null || present.has(key) ? [] : [`${JSON.stringify(key)}:${json}`]));
  const addedAt = lastKept?.valueEnd ?? members[0]?.keyStart ?? bytes.indexOf(OPEN_BRACE) + 1;
  const separator = lastKept !== undefined && added.length > 0 ? "," : "";
  const addition = { start: addedAt, end: addedAt, text: separator + added.join(",") };
  const removed = removalsOf(members, new Set(kept));
  return splice(bytes, [...replaced, addition, ...removed].sort(byStart));
}

/**
 * A member goes with the comma behind it, up to the next key. The members behind the last one that stays have no
 * such comma: they go together, with the comma before them.
 */
function removalsOf(members: readonly JsonMember[], kept: ReadonlySet<JsonMember>): Splice[] {
  const lastKept = members.findLastIndex((member) => kept.has(member));
  const inside = members.slice(0, lastKept + 1).flatMap((member, index) => {
    const next = members[index + 1];
    return kept.has(member) || next === undefined ? [] : [{ start: member.keyStart, end: next.keyStart, text: "" }];
  });
  const start = members[lastKept]?.valueEnd ?? members[0]?.keyStart;
  const end = members.at(-1)?.valueEnd;
  return start === undefined || end === undefined ? [] : [...inside, { start, end, text: "" }];
}

function splice(bytes: Uint8Array, splices: readonly Splice[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { start, end, text } of splices) {
    parts.push(bytes.subarray(at, start), encoder.encode(text));
    at = end;
  }
  return join([...parts, bytes.subarray(at)]);
}

function byStart(a: Splice, b: Splice): number {
  return a.start - b.start || a.end - b.end;
}

/**
 * Finds the value of a top-level key in a complete, small document such as the data of an event: the first one of
 * that name. It looks only as far as it must and takes the document's validity for granted; null when the key is
 * absent, and wherever the walk cannot go on.
 */
export function findMember(bytes: Uint8Array, key: string): JsonRange | null {
  let at = skipSpace(bytes, 0);
  if (bytes[at] !== OPEN_BRACE) return null;
  do {
    const keyStart = skipSpace(bytes, at + 1);
    if (bytes[keyStart] !== QUOTE) return null;
    const keyEnd = skipString(bytes, keyStart);
    const colon = skipSpace(bytes, keyEnd);
    if (bytes[colon] !== COLON) return null;
    const start = skipSpace(bytes, colon + 1);
    const end = skipValue(bytes, start);
    if (end === start) return null;
    if (isKey(bytes, keyStart + 1, keyEnd - 1, key)) return { start, end };
    at = skipSpace(bytes, end);
  } while (bytes[at] === COMMA);
  return null;
}

/**
 * Finds a value by the keys and array places that lead to it, under the conditions of {@link findMember}.
 */
export function findPath(bytes: Uint8Array, path: readonly (string | number)[]): JsonRange | null {
  let found: JsonRange = { start: 0, end: bytes.length };
  for (const step of path) {
    const outer = bytes.subarray(found.start, found.end);
    const inner = typeof step === "string" ? findMember(outer, step) : findElement(outer, step);
    if (inner === null) return null;
    found = { start: found.start + inner.start, end: found.start + inner.end };
  }
  return found;
}

function findElement(bytes: Uint8Array, place: number): JsonRange | null {
  let at = skipSpace(bytes, 0);
  if (bytes[at] !== OPEN_BRACKET) return null;
  for (let passed = 0; ; passed += 1) {
    const start = skipSpace(bytes, at + 1);
    const end = skipValue(bytes, start);
    if (end === start) return null;
    if (passed === place) return { start, end };
    at = skipSpace(bytes, end);
    if (bytes[at] !== COMMA) return null;
  }
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && isSpace(bytes[at] ?? 0)) at += 1;
  return at;
}

/** One past the closing quote. */
function skipString(bytes: Uint8Array, quote: number): number {
  for (let at = quote + 1; at < bytes.length; at += 1) {
    if (bytes[at] === QUOTE) return at + 1;
    if (bytes[at] === BACKSLASH) at += 1;
  }
  return bytes.length;
}

function skipValue(bytes: Uint8Array, start: number): number {
  const byte = bytes[start];
  if (byte === QUOTE) return skipString(bytes, start);
  if (byte === OPEN_BRACE || byte === OPEN_BRACKET) return skipContainer(bytes, start);
  let at = start;
  while (at < bytes.length && !endsScalar(bytes[at] ?? 0)) at += 1;
  return at;
}

function skipContainer(bytes: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = skipString(bytes, at) - 1;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return bytes.length;
}

function endsScalar(byte: number): boolean {
  return byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isSpace(byte);
}

/** Compared without decoding for as long as both sides are plain ASCII, which keys nearly always are. */
function isKey(bytes: Uint8Array, start: number, end: number, key: string): boolean {
  for (let i = 0; ; i += 1) {
    const byte = bytes[start + i] ?? 0;
    if (start + i === end) return i === key.length;
    if (byte === BACKSLASH || byte >= 0x80) return isDecodedKey(bytes.subarray(start, end), key);
    if (byte !== key.charCodeAt(i)) return false;
  }
}

function isDecodedKey(raw: Uint8Array, key: string): boolean {
  try {
    return decodeText(raw, raw.includes(BACKSLASH)) === key;
  } catch {
    return false;
  }
}
