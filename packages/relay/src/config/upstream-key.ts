/** Checks that a text can be sent to an upstream as its secret. */
import { normaliseKey, unwrap } from "../basics/normalise-key.ts";

/** `placeholder` is text that somebody was meant to replace. */
export type UpstreamKey =
  | { readonly kind: "usable"; readonly key: string }
  | { readonly kind: "placeholder" }
  | { readonly kind: "faulty"; readonly fault: string };

const PLACEHOLDERS: readonly RegExp[] = [
  /^(sk[-_])?your[-_ ]/i,
  /^(sk[-_])?(\.{3,}|\u2026+|x{3,}|\*{3,})$/i,
  /^<.*>$/,
  /^\$\{?\w+\}?$/,
  /^(change|replace)[-_ ]?(me|this)$/i,
  /^(placeholder|todo|insert[-_ ].*|my[-_ ]api[-_ ]key|api[-_ ]key)$/i,
  /[-_]key[-_]here$/i,
];

/** Reads the value of an `..._API_KEY`. */
export function readUpstreamKey(text: string): UpstreamKey {
  const bare = unwrap(text.slice(0, 4097));
  if (PLACEHOLDERS.some((pattern) => pattern.test(bare))) return { kind: "placeholder" };
  const result = normaliseKey(text);
  return "key" in result ? { kind: "usable", key: result.key } : { kind: "faulty", fault: result.fault };
}
