/** Turns what the schema found into sentences with a place. Values are never repeated. */
import type { ConfigMistake } from "../config.ts";
import type { FileDocument, Path } from "./document.ts";
import { knownKeys, type ShapeIssue } from "./schema.ts";
import { hint } from "../../basics/nearest.ts";

/** Keys that this version does not act on yet. It refuses them rather than ignore them. */
const LATER_KEYS: readonly string[] = ["migrations", "breaker", "signup", "egress"];

/** If a price left out cached tokens and the relay billed them like others, that would be the most common overcharge. */
const MISSING_CACHED = "is missing; write same if cached input costs as much as other input.";

const KINDS: Readonly<Record<string, string>> = {
  object: "a mapping",
  record: "a mapping",
  array: "a list",
  string: "text",
  int: "a whole number",
  number: "a number",
};

/** The mistakes behind one issue: one for each unknown key, else exactly one. */
export function issueMistakes(issue: ShapeIssue, document: FileDocument): ConfigMistake[] {
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(issue.path, key, document));
  const { place, path } = placeOfIssue(issue, document);
  return [{ place, message: `${subject(path)} ${faultOf(issue, document.data)}` }];
}

/** Names that a message may repeat. Other text in the place of a name can be a secret that slipped there. */
const SHOWN_NAME = /^[\w./:@+-]{1,80}$/;

const SHOWN_KEY = /^(?!sk-)[\w-]{1,24}$/;

/** A path as people read it: `models.fast.upstreams[0].upstream`. */
export function subject(path: Path): string {
  if (path.length === 0) return "The file";
  return path.map((step, at) => (typeof step === "number" ? `[${step}]` : `${at === 0 ? "" : "."}${nameOf(step)}`)).join("");
}

function nameOf(step: PropertyKey): string {
  const name = String(step);
  return SHOWN_NAME.test(name) ? name : "(name)";
}

/** Makes a sentence of it unless it is one already. */
export function sentence(text: string): string {
  return /[.?]$/.test(text) ? text : `${text}.`;
}

function placeOfIssue(issue: ShapeIssue, document: FileDocument): { readonly place: string; readonly path: Path } {
  if (issue.code !== "invalid_key") return { place: document.placeOf(issue.path), path: issue.path };
  return {
    place: document.placeOfKey(issue.path.slice(0, -1), String(issue.path.at(-1))),
    path: issue.path,
  };
}

function unknownKey(path: Path, key: string, document: FileDocument): ConfigMistake {
  const place = document.placeOfKey(path, key);
  const name = subject([...path, SHOWN_KEY.test(key) ? key : ""]);
  if (LATER_KEYS.includes(key)) return { place, message: `${name} is not supported by this version; remove it.` };
  return { place, message: sentence(`${name} is not a known key${hint(key, knownKeys(path))}`) };
}

function faultOf(issue: ShapeIssue, data: unknown): string {
  const value = valueAt(data, issue.path);
  if (value === undefined) return issue.path.at(-1) === "cached_input" ? MISSING_CACHED : "is missing.";
  if (issue.code === "invalid_key") return sentence(`is not a legal name: it ${issue.issues[0]?.message ?? "must be text"}`);
  if (issue.code === "invalid_value" && isOwnWords(issue.message)) return oneOf(issue.values.map(String), value);
  if (issue.code === "invalid_type" && isOwnWords(issue.message)) return `must be ${KINDS[issue.expected] ?? issue.expected}.`;
  return sentence(issue.message);
}

/** True for the library's words, false for those of our schema. */
function isOwnWords(message: string): boolean {
  return message.startsWith("Invalid");
}

function oneOf(words: readonly string[], value: unknown): string {
  const near = typeof value === "string" ? hint(value, words) : "";
  return sentence(`must be ${words.length > 1 ? "one of " : ""}${words.join(", ")}${near}`);
}

function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}
