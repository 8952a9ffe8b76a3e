/** What one configuration says about prices. */
import { NO_MARKUP_PPM } from "@millrace/policy/price";
import { modelsWithoutPrice, type PriceBook, type PriceSources } from "../prices/book.ts";
import type { ConfigMistake } from "./config.ts";
import type { Routing } from "./model-table.ts";

/** A list of costs to be read. */
export interface PriceList {
  readonly file: string;
  /** The place in the configuration that names it. */
  readonly place: string;
}

export interface Pricing extends PriceSources {
  readonly lists: readonly PriceList[];
  /** The owner says something about what accounts pay, so that a model without a price is worth a warning. */
  readonly isTold: boolean;
  /** The place where the owner says that a model without a price is a mistake, or null. */
  readonly refusedAt: string | null;
}

/** Without a word from the owner a model costs what its first upstream does. */
export const SHIPPED_PRICING: Pricing = {
  prices: new Map(),
  costs: new Map(),
  imported: [],
  markupPpm: NO_MARKUP_PPM,
  lists: [],
  isTold: false,
  refusedAt: null,
};

const NAMES_MAX = 5;

/** The models that metered accounts will be refused, as one warning. */
export function pricingWarnings({ isTold, refusedAt }: Pricing, routing: Routing, book: PriceBook): string[] {
  const names = isTold && refusedAt === null ? namesWithoutPrice(routing, book) : null;
  return names === null ? [] : [`No price is known for ${names}. Metered accounts cannot use a model without a price.`];
}

/** The same as a mistake, if the owner wants every model to have a price. */
export function pricingMistakes({ refusedAt }: Pricing, routing: Routing, book: PriceBook): ConfigMistake[] {
  const names = refusedAt === null ? null : namesWithoutPrice(routing, book);
  if (refusedAt === null || names === null) return [];
  return [{ place: refusedAt, message: `No price is known for ${names}, and prices.missing is refuse. A free model has prices of "0".` }];
}

function namesWithoutPrice(routing: Routing, book: PriceBook): string | null {
  const names = modelsWithoutPrice(
    book,
    [...routing.models.values()].filter((model) => model.isListed),
  );
  if (names.length === 0) return null;
  return `${names.slice(0, NAMES_MAX).join(", ")}${names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : ""}`;
}
