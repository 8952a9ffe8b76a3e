/** Removes what people paste around a key, or says what is wrong with it. It never repeats the key. */

/** A key, or what is wrong with it, worded to follow the name of the thing: "The key" + " " + fault. */
export type NormalisedKey = { readonly key: string } | { readonly fault: string };

const KEY_CHARS_MAX = 4096;

/** Printable ASCII without quotation marks, and long enough not to be a bare `Bearer`. */
const PLAIN = /^[!#-&(-_a-~]{7,4096}$/;

const WHITE_SPACE = /\s/;

/** Zero-width characters, direction marks, the soft hyphen and the byte order mark. */
const INVISIBLE = /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;

const LINE_END = /[\n\r\u0085\u2028\u2029]/;

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const QUOTES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  "`": "`",
  "\u201c": "\u201d",
  "\u201d": "\u201d",
  "\u2018": "\u2019",
  "\u2019": "\u2019",
  "\u00ab": "\u00bb",
};

/**
 * Trims a pasted key: blanks of any script, line ends, byte order marks, zero-width characters, wrapping quotes and a
 * leading `Bearer`, in any order and number. What is left must be printable ASCII.
 */
export function normaliseKey(text: string): NormalisedKey {
  if (PLAIN.test(text)) return { key: text };
  if (text.length > KEY_CHARS_MAX) return { fault: `is longer than ${KEY_CHARS_MAX} characters` };
  const key = unwrap(text);
  const fault = findFault(key);
  return fault === null ? { key } : { fault };
}

/** The text without wrapping blanks, quotes and `Bearer`; not checked any further. */
export function unwrap(text: string): string {
  let rest = text;
  for (;;) {
    const shorter = withoutBearer(withoutQuotes(trimBlank(rest)));
    if (shorter.length === rest.length) return rest;
    rest = shorter;
  }
}

function trimBlank(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charAt(start))) start++;
  while (end > start && isBlank(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(char: string): boolean {
  return WHITE_SPACE.test(char) || INVISIBLE.test(char) || char === "\u0085";
}

function withoutQuotes(text: string): string {
  const closing = text.length < 2 ? undefined : QUOTES[text.charAt(0)];
  return closing !== undefined && text.endsWith(closing) ? text.slice(1, -1) : text;
}

function withoutBearer(text: string): string {
  if (text.slice(0, 6).toLowerCase() !== "bearer") return text;
  return text.length === 6 || isBlank(text.charAt(6)) ? text.slice(6) : text;
}

function findFault(key: string): string | null {
  if (key === "") return "is empty";
  for (let at = 0; at < key.length; at++) {
    const fault = charFault(key.charAt(at));
    if (fault !== null) return `holds ${fault} at position ${at + 1}`;
  }
  return null;
}

function charFault(char: string): string | null {
  if (LINE_END.test(char)) return "a line end";
  if (INVISIBLE.test(char)) return "an invisible character";
  if (WHITE_SPACE.test(char)) return "white space";
  if (CONTROL.test(char)) return "a control character";
  if (char > "~") return "a character outside ASCII";
  return QUOTES[char] === undefined ? null : "a quotation mark";
}
