/** What upstreams cost the owner and what models cost the accounts: look-ups in frozen data, each for a given instant. */
import { type PriceAt, type PriceHistory, priceIn, type PriceVersion, roundUp } from "@millrace/policy/price";
import { nanos } from "@millrace/wire/money";
import { withId } from "./id.ts";
import { type CostTable, shippedCosts } from "./table.ts";

/** Histories by upstream, then by the name the upstream knows. */
type ByUpstream = ReadonlyMap<string, ReadonlyMap<string, PriceHistory>>;

export interface PriceBook {
  /** By public model, as the owner wrote them. They win over derived prices. */
  readonly prices: ReadonlyMap<string, PriceHistory>;
  readonly costs: ByUpstream;
  /** Costs with the markup on: what a model without a price of its own costs, by its first route. Empty without a markup. */
  readonly derived: ByUpstream;
}

/** The part of a public model that decides its price. */
export interface PricedModel {
  readonly name: string;
  readonly routes: readonly { readonly upstream: string; readonly model: string }[];
}

/** What the book is made of. */
export interface PriceSources {
  readonly prices: ReadonlyMap<string, PriceHistory>;
  /** The owner's own costs; they win over imported ones, those over the shipped table, each from its first date on. */
  readonly costs: ByUpstream;
  readonly imported: readonly CostTable[];
  /** Null: no price is derived from a cost. */
  readonly markupPpm: bigint | null;
}

interface PricedUpstream {
  readonly name: string;
  /** Name of its preset in the catalogue, by which tables know it. */
  readonly preset?: string;
}

/** Later than the last version of every price. */
const FAR_FUTURE_MS = Date.UTC(9999, 0);

/** Merges the sources for the upstreams that are configured. */
export function buildPriceBook(upstreams: Iterable<PricedUpstream>, sources: PriceSources): PriceBook {
  const tables = [shippedCosts(), ...sources.imported];
  const costs = new Map<string, ReadonlyMap<string, PriceHistory>>();
  for (const { name, preset } of upstreams) {
    const known = tables.map((table) => table.get(preset ?? name) ?? table.get(name));
    costs.set(name, mergeTables([...known, sources.costs.get(name)]));
  }
  return { prices: sources.prices, costs, derived: sources.markupPpm === null ? new Map() : deriveAll(costs, sources.markupPpm) };
}

/** What an account pays for a model at an instant (Unix milliseconds). If null, the relay refuses the model to metered accounts. */
export function priceFor(book: PriceBook, model: PricedModel, instantMs: number): PriceAt | null {
  const own = priceIn(book.prices.get(model.name) ?? [], instantMs);
  const [first] = model.routes;
  if (own !== null || first === undefined) return own;
  return priceIn(book.derived.get(first.upstream)?.get(first.model) ?? [], instantMs);
}

/** What the owner pays an upstream, or null if no source has it. `model` is the upstream's own name. */
export function costFor(book: PriceBook, upstream: string, model: string, instantMs: number): PriceAt | null {
  return priceIn(book.costs.get(upstream)?.get(model) ?? [], instantMs);
}

/** Names of the models without a price at the instant; if no instant is given, of those that never have one. */
export function modelsWithoutPrice(book: PriceBook, models: Iterable<PricedModel>, instantMs: number = FAR_FUTURE_MS): string[] {
  return [...models].filter((model) => priceFor(book, model, instantMs) === null).map(({ name }) => name);
}

function mergeTables(tables: readonly (ReadonlyMap<string, PriceHistory> | undefined)[]): ReadonlyMap<string, PriceHistory> {
  const merged = new Map<string, PriceHistory>();
  for (const table of tables)
    for (const [model, history] of table ?? []) merged.set(model, mergeHistories(merged.get(model) ?? [], history));
  return merged;
}

/** From its first date on, the later source replaces the earlier one. */
function mergeHistories(earlier: PriceHistory, later: PriceHistory): PriceHistory {
  const from = later[0]?.effectiveFromMs ?? Number.POSITIVE_INFINITY;
  return [...earlier.filter((version) => version.effectiveFromMs < from), ...later];
}

function deriveAll(costs: ByUpstream, ppm: bigint): ByUpstream {
  const ofModels = (models: ReadonlyMap<string, PriceHistory>): ReadonlyMap<string, PriceHistory> =>
    new Map([...models].map(([model, history]) => [model, history.map((version) => withMarkup(version, ppm))]));
  return new Map([...costs].map(([upstream, models]) => [upstream, ofModels(models)]));
}

/** Marks up the fee of a request here, once, because the formula adds the fee without a markup. */
function withMarkup({ id, ...version }: PriceVersion, ppm: bigint): PriceVersion {
  const perRequestNanos = nanos(roundUp(version.perRequestNanos * ppm * 1000n));
  return withId(id.slice(0, id.indexOf("@")), { ...version, perRequestNanos, markupPpm: ppm });
}
