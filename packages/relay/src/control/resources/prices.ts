/** What the running price book says: what accounts pay for each model, and what each upstream costs us. */
import { money } from "@millrace/wire/money-json";
import { isoOf } from "../../basics/iso-time.ts";
import { formatPricePerMillion } from "@millrace/wire/money";
import { priceIn } from "@millrace/policy/price";
import type { PriceHistory, PriceKinds, PriceRates, PriceVersion } from "@millrace/policy/price";
import * as z from "zod";
import { modelsWithoutPrice } from "../../prices/book.ts";
import type { PriceBook, PricedModel } from "../../prices/book.ts";
import { shippedCosts, tableRows } from "../../prices/table.ts";
import { pageOfList } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import { moneyShape, time } from "../http/shapes.ts";

/** The book that is in force, and the public models that it prices. */
export interface Pricing {
  readonly book: PriceBook;
  readonly models: readonly PricedModel[];
}

/** USD per million tokens. */
const rate = z.string();
const kinds = {
  input: rate,
  cached_input: rate,
  cache_write_5m: rate,
  cache_write_1h: rate,
  output: rate,
  reasoning: rate,
};
const BandShape = z.strictObject({ above_input_tokens: z.number().int(), ...kinds });
const RatesShape = z.strictObject({ ...kinds, bands: z.array(BandShape) });

const VersionShape = z.strictObject({
  id: z.string(),
  /** `configuration` (written or imported there), `markup` on a cost, or `shipped` with the relay. */
  source: z.enum(["configuration", "markup", "shipped"]),
  /** The source of a shipped price, and when it was read. */
  read_from: z.strictObject({ title: z.string(), date: z.string(), second_hand: z.boolean() }).nullable(),
  effective_from: time,
  rates: RatesShape,
  windows: z.array(
    z.strictObject({
      name: z.string(),
      utc_minutes: z.array(z.array(z.number().int())),
      weekdays: z.array(z.number().int()),
      except_holidays: z.string().nullable(),
      /** Other rates, or all rates times a ratio such as `1/2`. */
      rates: z.union([RatesShape, z.string()]),
    }),
  ),
  ...moneyShape("per_request"),
  markup_ppm: z.string(),
});

export const PriceShape = z.strictObject({
  kind: z.enum(["price", "cost"]),
  model: z.string(),
  /** Null for a price: it is the public model's. */
  upstream: z.string().nullable(),
  /** The version in force; null: accounts that pay are refused the model. */
  current_id: z.string().nullable(),
  versions: z.array(VersionShape),
});

type PriceView = z.output<typeof PriceShape>;
type VersionView = z.output<typeof VersionShape>;
type ReadFrom = VersionView["read_from"];

interface Named {
  readonly id: string;
  readonly show: () => PriceView;
}

/** Prices first, each by model; then costs, by upstream and model. */
export function listPrices({ book, models }: Pricing, wish: PageQuery, nowMs: number): Page<PriceView> {
  const prices = models.map((model): Named => ({ id: `price ${model.name}`, show: () => priceOf(book, model, nowMs) }));
  const shipped = sourcesOfShipped();
  const costs = [...book.costs].flatMap(([upstream, ofModels]) =>
    [...ofModels].map(([model, history]): Named => ({
      id: `cost ${upstream} ${model}`,
      show: () => costOf(upstream, model, history, shipped, nowMs),
    })),
  );
  const order = (a: Named, b: Named): number => (a.id < b.id ? -1 : 1);
  return pageOfList([...prices.toSorted(order), ...costs.toSorted(order)], wish, (named) => named.show());
}

/** A sentence that names the models which are refused to accounts that pay; empty if the configuration is not known. */
export function unpricedWarnings(pricing: Pricing | null): string[] {
  const names = pricing === null ? [] : modelsWithoutPrice(pricing.book, pricing.models, Date.now());
  return names.length === 0 ? [] : [`Accounts that pay are refused these models, which have no price: ${names.join(", ")}`];
}

/** The owner's own versions win. If there are none, the price is the first route's cost with the markup. */
function priceOf(book: PriceBook, { name, routes }: PricedModel, nowMs: number): PriceView {
  const own = book.prices.get(name) ?? [];
  const [first] = routes;
  const derived = first === undefined ? [] : (book.derived.get(first.upstream)?.get(first.model) ?? []);
  const current = priceIn(own, nowMs) ?? priceIn(derived, nowMs);
  const versions = [
    ...own.map((version) => shownVersion(version, "configuration", null)),
    ...derived.map((version) => shownVersion(version, "markup", null)),
  ];
  return { kind: "price", model: name, upstream: null, current_id: current?.version.id ?? null, versions };
}

function costOf(upstream: string, model: string, history: PriceHistory, shipped: ReadonlyMap<string, ReadFrom>, nowMs: number): PriceView {
  const versions = history.map((version) => {
    const readFrom = shipped.get(version.id) ?? null;
    return shownVersion(version, readFrom === null ? "configuration" : "shipped", readFrom);
  });
  return { kind: "cost", model, upstream, current_id: priceIn(history, nowMs)?.version.id ?? null, versions };
}

/** By the version's id, which follows from its content. */
function sourcesOfShipped(): ReadonlyMap<string, ReadFrom> {
  const costs = shippedCosts();
  const ofRow = ({ provider, model, readFrom }: ReturnType<typeof tableRows>[number]): [string, ReadFrom][] => {
    const { title, date, isSecondHand } = readFrom;
    const versions = costs.get(provider)?.get(model) ?? [];
    return versions.map((version) => [version.id, { title, date, second_hand: isSecondHand }]);
  };
  return new Map(tableRows().flatMap(ofRow));
}

function shownVersion(version: PriceVersion, source: VersionView["source"], readFrom: ReadFrom): VersionView {
  return {
    id: version.id,
    source,
    read_from: readFrom,
    effective_from: isoOf(version.effectiveFromMs),
    rates: shownRates(version),
    windows: version.windows.map(({ name, utcMinutes, weekdays, exceptHolidays, rates }) => ({
      name,
      utc_minutes: utcMinutes.map((range) => [...range]),
      weekdays: [...weekdays],
      except_holidays: exceptHolidays,
      rates: "kinds" in rates ? shownRates(rates) : `${rates.numerator}/${rates.denominator}`,
    })),
    ...money("per_request", version.perRequestNanos),
    markup_ppm: String(version.markupPpm),
  };
}

function shownRates({ kinds: own, bands }: PriceRates): z.output<typeof RatesShape> {
  return {
    ...shownKinds(own),
    bands: bands.map((band) => ({ above_input_tokens: band.aboveInputTokens, ...shownKinds(band.kinds) })),
  };
}

function shownKinds(own: PriceKinds): Record<keyof typeof kinds, string> {
  return {
    input: formatPricePerMillion(own.input),
    cached_input: formatPricePerMillion(own.cachedInput),
    cache_write_5m: formatPricePerMillion(own.cacheWrite5m),
    cache_write_1h: formatPricePerMillion(own.cacheWrite1h),
    output: formatPricePerMillion(own.output),
    reasoning: formatPricePerMillion(own.reasoning ?? own.output),
  };
}
