import { BACKSLASH, escapeSize, nextText, NO_TEXT, QUOTE, skipPlain, TEXT } from "./json-grammar.ts";

/**
 * Where a JSON string ends.
 * @param from index of its first byte, behind the opening quote.
 * @returns index of the closing quote, or -1 if the bytes from there are not a valid string.
 */
export function textEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  let state = TEXT;
  for (;;) {
    if (state === TEXT) at = skipPlain(bytes, at);
    const byte = bytes[at];
    if (byte === undefined) return -1;
    if (state === TEXT && byte === QUOTE) return at;
    if (state === TEXT && byte < 0x80) {
      const size = byte === BACKSLASH ? escapeSize(bytes, at) : 0;
      if (size === 0) return -1;
      at += size;
      continue;
    }
    state = nextText(state, byte);
    if (state === NO_TEXT) return -1;
    at += 1;
  }
}
