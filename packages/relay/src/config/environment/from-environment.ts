/** The configuration from variables alone. Pure: it takes a record and returns everything that follows from it. */
import type { ConfigResult } from "../config.ts";
import type { Variables } from "./dotenv.ts";
import { FALLBACK_WORD, findUpstreams, upstreamName, type UpstreamsFound } from "./upstreams.ts";
import { readSettings } from "./settings.ts";
import { NO_ROUTING, routeByCatalogue, type Routing } from "../model-table.ts";
import { hint } from "../../basics/nearest.ts";
import { unwrap } from "../../basics/normalise-key.ts";
import { newNotes, type Notes } from "../notes.ts";
import type { PlacedUpstream } from "../placed-upstream.ts";
import { assembleConfig } from "../settings.ts";

const ACTIVE_VARIABLE = "ACTIVE_PROVIDER";

const FALLBACK_NAME = upstreamName(FALLBACK_WORD);

const OFF_WORDS: readonly string[] = ["false", "0", "no", "off"];
const ON_WORDS: readonly string[] = ["true", "1", "yes", "on", ""];

/** `name` is the upstream; `isOut` says that one was chosen that cannot answer, so that the others stand in. */
interface Active {
  readonly name: string | null;
  readonly isOut: boolean;
}

/** Reads a whole configuration from variables. */
export function configFromEnvironment(variables: Variables): ConfigResult {
  const notes = newNotes();
  const settings = readSettings(variables, notes);
  const routing = routingFromEnvironment(variables, notes);
  if (notes.mistakes.length > 0) return { ok: false, mistakes: notes.mistakes };
  return { ok: true, config: assembleConfig([settings], routing, notes.warnings) };
}

/** Reads upstreams from variables and works out which models they serve. */
export function routingFromEnvironment(variables: Variables, notes: Notes): Routing {
  const found = findUpstreams(variables, notes);
  const off = found.placed.filter((row) => isSwitchedOff(row, variables, notes));
  const on = found.placed.filter((row) => !off.includes(row));
  if (on.length === 0) {
    refuseEmpty(off, found, notes);
    if (wantedActive(variables) !== "") notes.warnings.push(`${ACTIVE_VARIABLE} is set, but no upstream is configured.`);
    return NO_ROUTING;
  }
  const active = findActive(variables, on, off, found, notes);
  return routeInOrder(on, off, active);
}

function routeInOrder(on: readonly PlacedUpstream[], off: readonly PlacedUpstream[], active: Active): Routing {
  const isActive = (row: PlacedUpstream): boolean => row.upstream.name === active.name;
  const placed = [...on.filter(isActive), ...on.filter((row) => !isActive(row))];
  const names = placed.map((row) => row.upstream.name);
  const lastResort = active.name !== FALLBACK_NAME && names.includes(FALLBACK_NAME) ? FALLBACK_NAME : null;
  return routeByCatalogue({
    placed,
    off,
    lastResort,
    takesAnyModel: takersOfAny(names, lastResort, active),
  });
}

function takersOfAny(names: readonly string[], lastResort: string | null, active: Active): string[] {
  const others = names.filter((name) => name !== lastResort);
  const last = lastResort === null ? [] : [lastResort];
  if (active.name !== null) return [active.name, ...last];
  return active.isOut || others.length === 1 ? [...others, ...last] : last;
}

function isSwitchedOff({ upstream }: PlacedUpstream, variables: Variables, notes: Notes): boolean {
  const name = enablingVariable(upstream.name);
  const word = enablingWord(upstream.name, variables);
  const isOff = OFF_WORDS.includes(word);
  if (isOff) notes.warnings.push(`${name} is off: requests for ${upstream.name} go to the other upstreams.`);
  else if (!ON_WORDS.includes(word)) notes.mistakes.push({ place: name, message: `${name} must be true or false.` });
  return isOff;
}

function enablingVariable(upstream: string): string {
  return `ENABLE_${upstream.toUpperCase()}`;
}

function enablingWord(upstream: string, variables: Variables): string {
  return unwrap(variables[enablingVariable(upstream)] ?? "").toLowerCase();
}

/** The simulator must never stand in for an upstream that was configured and only does not work. */
function refuseEmpty(off: readonly PlacedUpstream[], found: UpstreamsFound, notes: Notes): void {
  for (const { upstream } of off) {
    const place = enablingVariable(upstream.name);
    notes.mistakes.push({
      place,
      message: `${place} is off and no other upstream is left; switch one on.`,
    });
  }
  notes.mistakes.push(...found.faultyKeys);
}

function findActive(
  variables: Variables,
  on: readonly PlacedUpstream[],
  off: readonly PlacedUpstream[],
  found: UpstreamsFound,
  notes: Notes,
): Active {
  const wanted = wantedActive(variables);
  if (wanted === "") return { name: null, isOut: false };
  const match = named(on, wanted) ?? (named(off, wanted) === undefined ? ofProvider(on, wanted) : undefined);
  if (match !== undefined) return { name: match.upstream.name, isOut: false };
  const isMissing = found.missing.some((word) => upstreamName(word) === wanted);
  const isOut = isMissing || OFF_WORDS.includes(enablingWord(wanted, variables));
  if (!isOut) notes.mistakes.push(unknownActive(wanted, on));
  return { name: null, isOut: true };
}

function wantedActive(variables: Variables): string {
  return unwrap(variables[ACTIVE_VARIABLE] ?? "")
    .toLowerCase()
    .replaceAll("-", "_");
}

function named(rows: readonly PlacedUpstream[], name: string): PlacedUpstream | undefined {
  return rows.find((row) => row.upstream.name === name);
}

/** `ACTIVE_PROVIDER` may name the provider behind an upstream that is called otherwise, such as the fallback's. */
function ofProvider(rows: readonly PlacedUpstream[], name: string): PlacedUpstream | undefined {
  return rows.find((row) => row.preset.name === name);
}

function unknownActive(wanted: string, on: readonly PlacedUpstream[]): { place: string; message: string } {
  const names = on.map((row) => row.upstream.name);
  const near = hint(wanted, names);
  const message = `${ACTIVE_VARIABLE} names no configured upstream (there are: ${names.join(", ")})${near}`;
  return { place: ACTIVE_VARIABLE, message: near === "" ? `${message}.` : message };
}
