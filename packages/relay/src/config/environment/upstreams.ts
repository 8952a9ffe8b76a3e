/** Upstreams from variables alone: `<NAME>_API_KEY` and `<NAME>_BASE_URL`. */
import { genericPreset, presetOfVariables, presets } from "../../provider/catalogue.ts";
import type { Preset } from "../../provider/preset.ts";
import { baseUrlFault, isOpenToReaders, normaliseBaseUrl, presetOfUrl } from "../base-url.ts";
import type { ConfigMistake } from "../config.ts";
import type { Variables } from "./dotenv.ts";
import { unwrap } from "../../basics/normalise-key.ts";
import type { Notes } from "../notes.ts";
import { type PlacedUpstream, placeUpstream } from "../placed-upstream.ts";
import { readUpstreamKey } from "../upstream-key.ts";

/** The word of the upstream that answers when the others do not. */
export const FALLBACK_WORD = "FALLBACK";

export interface UpstreamsFound {
  readonly placed: PlacedUpstream[];
  /** `<NAME>` of upstreams that were meant but lack something; each has a warning or a mistake. */
  readonly missing: string[];
  /** Keys that are not placeholders but cannot be sent. They are mistakes if no upstream is left. */
  readonly faultyKeys: ConfigMistake[];
}

const PAIR = /^([A-Z][A-Z0-9_]*)_BASE_URL$/;

/** Every upstream the variables make: the catalogue's first, then others, the fallback last. */
export function findUpstreams(variables: Variables, notes: Notes): UpstreamsFound {
  const found: UpstreamsFound = { placed: [], missing: [], faultyKeys: [] };
  for (const word of upstreamWords(variables)) findOne(word, variables, found, notes);
  return found;
}

/** The name of the upstream that a variable's first word makes. */
export function upstreamName(word: string): string {
  return word.toLowerCase();
}

function upstreamWords(variables: Variables): string[] {
  const known = presets.map((preset) => preset.env);
  const paired = Object.keys(variables)
    .map((name) => PAIR.exec(name)?.[1])
    .filter((word): word is string => word !== undefined && word !== "MILLRACE" && word !== FALLBACK_WORD);
  return [...new Set([...known, ...paired, FALLBACK_WORD])];
}

function findOne(word: string, variables: Variables, found: UpstreamsFound, notes: Notes): void {
  const address = unwrap(variables[`${word}_BASE_URL`] ?? "");
  const keyText = unlessBlank(variables[`${word}_API_KEY`]);
  const named = presetOfVariables(word);
  if (address === "" && keyText === null) return;
  if (address === "" && (named === null || !named.needsKey)) return missingAddress(word, notes, found);
  if (keyText === null && named === null && word !== FALLBACK_WORD) return;
  const base = address === "" ? (named?.baseUrl ?? "") : address;
  const fault = baseUrlFault(base);
  if (fault !== null) return wrongAddress(word, fault, found, notes);
  placeOne(word, base, keyText, named, found, notes);
}

function unlessBlank(text: string | undefined): string | null {
  return text === undefined || unwrap(text) === "" ? null : text;
}

function placeOne(word: string, base: string, keyText: string | null, named: Preset | null, found: UpstreamsFound, notes: Notes): void {
  const preset = presetOfUrl(base) ?? named ?? genericPreset;
  const apiKey = keyText === null ? keylessOf(word, named, found, notes) : keyOf(word, keyText, found, notes);
  if (apiKey === undefined) return;
  if (isOpenToReaders(base)) notes.warnings.push(`${word}_BASE_URL is http:// on a remote host: keys and prompts travel unencrypted.`);
  found.placed.push(placeUpstream(upstreamName(word), preset, { baseUrl: normaliseBaseUrl(base, preset), apiKey }));
}

/** `undefined` when this upstream cannot do without a key. */
function keylessOf(word: string, named: Preset | null, found: UpstreamsFound, notes: Notes): null | undefined {
  if (named !== null && !named.needsKey) return null;
  notes.warnings.push(`${word}_BASE_URL is set but ${word}_API_KEY is not, so there is no upstream ${upstreamName(word)}.`);
  found.missing.push(word);
  return undefined;
}

function keyOf(word: string, text: string, found: UpstreamsFound, notes: Notes): string | undefined {
  const result = readUpstreamKey(text);
  if (result.kind === "usable") return result.key;
  const name = `${word}_API_KEY`;
  const absent = `so there is no upstream ${upstreamName(word)}`;
  notes.warnings.push(result.kind === "placeholder" ? `${name} is a placeholder, ${absent}.` : `${name} ${result.fault}, ${absent}.`);
  if (result.kind === "faulty") {
    found.faultyKeys.push({
      place: name,
      message: `${name} ${result.fault}; correct it or remove it.`,
    });
  }
  found.missing.push(word);
  return undefined;
}

function missingAddress(word: string, notes: Notes, found: UpstreamsFound): void {
  // Only the fallback's variables are surely meant for the relay: other tools and local servers use keys without addresses too.
  if (word !== FALLBACK_WORD) return;
  notes.warnings.push(`${word}_API_KEY is set but ${word}_BASE_URL is not, so there is no upstream ${upstreamName(word)}.`);
  found.missing.push(word);
}

function wrongAddress(word: string, fault: string, found: UpstreamsFound, notes: Notes): void {
  notes.mistakes.push({ place: `${word}_BASE_URL`, message: `${word}_BASE_URL ${fault}.` });
  found.missing.push(word);
}
