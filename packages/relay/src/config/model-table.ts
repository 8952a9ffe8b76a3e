/** Which upstreams serve which model, worked out once from the catalogue when no file says it. */
import { presetServes } from "../provider/catalogue.ts";
import type { Preset } from "../provider/preset.ts";
import type { Config, Model, ModelPrefix, Upstream } from "./config.ts";
import type { PlacedUpstream } from "./placed-upstream.ts";

/** The part of a configuration that says where requests go. */
export type Routing = Pick<Config, "upstreams" | "models" | "takesAnyModel" | "modelPrefixes" | "switchedOff">;

export interface RoutingFacts {
  /** In the order in which upstreams that serve the same model are tried. */
  readonly placed: readonly PlacedUpstream[];
  /** Upstreams that the configuration took out; the others serve their models. */
  readonly off: readonly PlacedUpstream[];
  /** The upstream that every model may fall back to, or null. */
  readonly lastResort: string | null;
  /** Upstreams, in order, that take a model name which no preset owns. */
  readonly takesAnyModel: readonly string[];
}

/** Nothing to route to. */
export const NO_ROUTING: Routing = { upstreams: new Map(), models: new Map(), takesAnyModel: [] };

/** Makes the table of names and beginnings of names. */
export function routeByCatalogue(facts: RoutingFacts): Routing {
  return {
    upstreams: byName(facts.placed),
    models: modelTable(facts),
    takesAnyModel: facts.takesAnyModel,
    modelPrefixes: prefixTable(facts),
    switchedOff: facts.off.map((row) => row.upstream.name),
  };
}

/** Upstreams by their names. */
export function byName(placed: readonly PlacedUpstream[]): ReadonlyMap<string, Upstream> {
  return new Map(placed.map(({ upstream }) => [upstream.name, upstream]));
}

/** A model that every one of these upstreams knows by the same name. */
export function sameNameModel(name: string, upstreams: readonly string[], upstreamModel: string, isListed: boolean): Model {
  return {
    name,
    isListed,
    routes: upstreams.map((upstream) => ({ upstream, model: upstreamModel })),
  };
}

/**
 * Upstreams for a name: those that are known to serve it, in order; else those that take any name. The last resort
 * comes last even if it owns the name, because the owner of the relay chose that.
 */
function upstreamsFor(name: string, facts: RoutingFacts): string[] {
  const { placed, lastResort } = facts;
  const serving = placed.filter(({ preset }) => presetServes(preset, name)).map(nameOf);
  const owners = serving.filter((upstream) => upstream !== lastResort);
  const isLastResorts = lastResort !== null && serving.includes(lastResort);
  const first = owners.length > 0 ? owners : takers(facts, isLastResorts);
  return lastResort === null ? first : [...first, lastResort];
}

/** A name that the last resort owns is not tried on a provider of other families of models, only on a reseller. */
function takers({ placed, lastResort, takesAnyModel }: RoutingFacts, isLastResorts: boolean): string[] {
  return placed
    .filter((row) => takesAnyModel.includes(nameOf(row)) && nameOf(row) !== lastResort)
    .filter(({ preset }) => !isLastResorts || preset.owns.length === 0)
    .map(nameOf);
}

function nameOf({ upstream }: PlacedUpstream): string {
  return upstream.name;
}

function modelTable(facts: RoutingFacts): ReadonlyMap<string, Model> {
  const presets = [...facts.placed, ...facts.off].map((row) => row.preset);
  const listed = new Set(presets.flatMap((preset) => preset.models));
  const accepted = presets.flatMap((preset) => [...preset.unlisted, ...preset.owns.filter(isExact)]);
  const models = new Map<string, Model>();
  for (const name of new Set([...listed, ...accepted])) {
    const upstreams = upstreamsFor(name, facts);
    if (upstreams.length > 0) models.set(name, sameNameModel(name, upstreams, name, listed.has(name)));
  }
  return models;
}

function prefixTable(facts: RoutingFacts): ModelPrefix[] {
  const prefixes = new Set(facts.placed.flatMap(({ preset }) => ownedPrefixes(preset)));
  return [...prefixes]
    .sort((a, b) => b.length - a.length)
    .map((startsWith) => ({ startsWith, upstreams: upstreamsFor(startsWith, facts) }));
}

function ownedPrefixes(preset: Preset): string[] {
  return preset.owns.filter((pattern) => !isExact(pattern)).map((pattern) => pattern.slice(0, -1));
}

function isExact(pattern: string): boolean {
  return !pattern.endsWith("*");
}
