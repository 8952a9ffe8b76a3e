/** What one configuration says about prices. */
import { NO_MARKUP_PPM } from "@millrace/policy/price";
import { modelsWithoutPrice, type PriceBook, type PriceSources } from "../ledger/price-book.ts";
import type { Routing } from "./model-table.ts";

/** A list of costs to be read. */
export interface PriceList {
  readonly file: string;
  /** Where the configuration names it. */
  readonly place: string;
}

export interface Pricing extends PriceSources {
  readonly lists: readonly PriceList[];
  /** The owner says something about what accounts pay, so that a model without a price is worth a warning. */
  readonly isTold: boolean;
}

/** Without a word from the owner a model costs what its first upstream does. */
export const SHIPPED_PRICING: Pricing = {
  prices: new Map(),
  costs: new Map(),
  imported: [],
  markupPpm: NO_MARKUP_PPM,
  lists: [],
  isTold: false,
};

const NAMES_MAX = 5;

/** The models that metered accounts will be refused, as one warning. */
export function pricingWarnings({ isTold }: Pricing, routing: Routing, book: PriceBook): string[] {
  const names = isTold
    ? modelsWithoutPrice(
        book,
        [...routing.models.values()].filter((model) => model.isListed),
      )
    : [];
  if (names.length === 0) return [];
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : "";
  return [`No price is known for ${names.slice(0, NAMES_MAX).join(", ")}${more}: metered accounts are refused there.`];
}
