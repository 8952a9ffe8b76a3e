/** What the relay does with JSON without parsing it: it validates the text, finds its members and changes one of them. */

import type { JsonFault, JsonKind, JsonMember, JsonScanLimits } from "./json-scanner.ts";
import { JsonScanner } from "./json-scanner.ts";

export { editJson, findMember, findPath } from "./json-edit.ts";
export type { JsonEdit, JsonRange } from "./json-edit.ts";
export { JsonScanner };
export type { JsonFault, JsonKind, JsonMember, JsonScanLimits };

export interface JsonScan {
  readonly fault: null;
  readonly root: JsonKind;
  readonly members: readonly JsonMember[];
  readonly textBytes: number;
  readonly bigStringBytes: number;
}

/** Scans a document that is there as a whole. */
export function scanJson(bytes: Uint8Array, limits: Partial<JsonScanLimits> = {}): JsonScan | { readonly fault: JsonFault } {
  const scanner = new JsonScanner(limits);
  const fault = scanner.push(bytes) ?? scanner.end();
  const { root, members, textBytes, bigStringBytes } = scanner;
  // A document without a fault has a root; the second test only tells the compiler.
  if (fault !== null || root === null) return { fault: fault ?? { reason: "unfinished", offset: 0 } };
  return { fault: null, root, members, textBytes, bigStringBytes };
}
