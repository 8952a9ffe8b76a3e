/** Keeps each version of a price that a hold was made with, so that a receipt can show the arithmetic after the book has changed. */
import { priceToJson } from "@millrace/policy/price-json";
import type { PriceVersion } from "@millrace/policy/price";

/** Adapters live in `store/`. */
export interface PriceStore {
  /** False when it could not be stored. Keeping the same again changes nothing. */
  keepPrice(id: string, json: string): Promise<boolean>;
}

export class PinnedPrices {
  readonly #store: PriceStore;
  /** Versions that are stored or being stored. A book has a bounded number of them. */
  readonly #kept = new Map<string, Promise<boolean>>();

  constructor(store: PriceStore) {
    this.#store = store;
  }

  /** True once the version is stored; asks the store once for each. */
  pin(version: PriceVersion): Promise<boolean> {
    const known = this.#kept.get(version.id);
    if (known !== undefined) return known;
    const kept = this.#store.keepPrice(version.id, JSON.stringify(priceToJson(version)));
    this.#kept.set(version.id, kept);
    const forget = (): boolean => this.#kept.delete(version.id);
    kept.then((isKept) => isKept || forget(), forget);
    return kept;
  }
}
