/** A YAML or JSON text as data, with the place of everything in it. */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import type { ConfigMistake } from "../config.ts";

export type Path = readonly PropertyKey[];

export interface FileDocument {
  readonly data: unknown;
  /** `FILE:LINE:COLUMN` of a value, or of the nearest thing around it that exists. */
  placeOf(path: Path): string;
  /** The same for a key of the mapping at `path`. */
  placeOfKey(path: Path, key: string): string;
}

export type DocumentResult = { readonly document: FileDocument } | { readonly mistakes: readonly ConfigMistake[] };

/** The library's own sentences may quote the text, and the text may be a secret. */
const SENTENCES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "This key is already in the same mapping; remove one of them.",
  MISSING_CHAR: "A closing quotation mark, bracket or separator is missing.",
  BAD_INDENT: "The indentation is wrong here.",
  TAB_AS_INDENT: "Indent with spaces, not with tabs.",
  MULTIPLE_DOCS: "Write one document in a file; a second one begins here.",
  TAG_RESOLVE_FAILED: "Tags (!name) are not supported; remove it.",
  BAD_ALIAS: "Aliases must name an anchor that comes before them.",
  BAD_SCALAR_START: "A value that begins with this character must be in quotation marks.",
};

/** Parses a YAML text (JSON is a part of YAML), or says where the text is not YAML. */
export function parseFile(text: string, file: string): DocumentResult {
  const lines = new LineCounter();
  // `warn` would print keys, `silent` would drop a second document without a word.
  const parsed: Document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: "error",
  });
  const placeAt = (offset: number): string => place(file, lines, offset);
  const mistakes = [...parsed.errors, ...parsed.warnings].map((error) => ({
    place: placeAt(error.pos[0]),
    message: SENTENCES[error.code] ?? "This is not valid YAML.",
  }));
  if (mistakes.length > 0) return { mistakes };
  const data = toData(parsed);
  if ("fault" in data) return { mistakes: [{ place: placeAt(0), message: data.fault }] };
  return { document: locate(data.value, parsed, placeAt) };
}

function place(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
}

function toData(parsed: Document): { readonly value: unknown } | { readonly fault: string } {
  try {
    return { value: parsed.toJS() as unknown };
  } catch {
    // The library throws for aliases without anchor and for aliases that would explode.
    return {
      fault: "An alias (*name) in this file has no anchor before it, or there are too many of them.",
    };
  }
}

function locate(data: unknown, parsed: Document, placeAt: (offset: number) => string): FileDocument {
  const root = parsed.contents;
  return {
    data,
    placeOf: (path) => placeAt(offsetOf(root, path)),
    placeOfKey: (path, key) => placeAt(keyOffset(root, path, key) ?? offsetOf(root, path)),
  };
}

function offsetOf(root: Node | null, path: Path): number {
  let node = root;
  let offset = root?.range?.[0] ?? 0;
  for (const step of path) {
    offset = keyOf(node, step)?.range?.[0] ?? offset;
    node = childOf(node, step);
    if (node === null) return offset;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}

function keyOffset(root: Node | null, path: Path, key: string): number | null {
  let node = root;
  for (const step of path) node = childOf(node, step);
  return keyOf(node, key)?.range?.[0] ?? null;
}

function childOf(node: Node | null, step: PropertyKey): Node | null {
  if (isSeq<Node>(node) && typeof step === "number") return node.items[step] ?? null;
  return (pairOf(node, step)?.value as Node | null | undefined) ?? null;
}

function keyOf(node: Node | null, step: PropertyKey): Node | null {
  return (pairOf(node, step)?.key as Node | undefined) ?? null;
}

function pairOf(node: Node | null, step: PropertyKey): { readonly key: unknown; readonly value: unknown } | undefined {
  if (node === null || isAlias(node) || !isMap(node)) return undefined;
  return node.items.find(({ key }) => isScalar(key) && keyText(key.value) === String(step));
}

/** The name of a key in the data: `80:` is the key "80". */
function keyText(value: unknown): string {
  if (typeof value === "string") return value;
  return value === null ? "" : JSON.stringify(value);
}
