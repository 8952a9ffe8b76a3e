/** Tiers and prices of a configuration, for tests that look at them. */
import { readWrittenPrice } from "@millrace/policy/price-written";
import type { PriceVersion } from "@millrace/policy/price";
import { buildPriceBook } from "../../src/prices/book.ts";
import { withId } from "../../src/prices/id.ts";
import type { RelaySetup } from "../support/start-relay.ts";

export const TIERS: NonNullable<RelaySetup["limits"]> = {
  tiers: new Map([["gold", { limits: { rpm: 1_000 }, models: ["m"], perModel: new Map([["m", { inFlight: 9 }]]) }]]),
  defaultTier: null,
};

function versionOf(written: Parameters<typeof readWrittenPrice>[0], scope: string): PriceVersion {
  const read = readWrittenPrice(written);
  if (!("price" in read)) throw new Error("the test's own price is wrong");
  return withId(scope, read.price);
}

/** Model `m` costs its accounts 1,000 and 2,000 nano-USD a token; upstream `a` takes half; the shipped costs of one preset stand beside. */
export const PRICES: NonNullable<RelaySetup["prices"]> = buildPriceBook([{ name: "a" }, { name: "deepseek" }], {
  prices: new Map([["m", [versionOf({ input: "1000.00", cached_input: "100.00", output: "2000.00" }, "m")]]]),
  costs: new Map([["a", new Map([["m", [versionOf({ input: "500.00", cached_input: "50.00", output: "1000.00" }, "a/m")]]])]]),
  imported: [],
  markupPpm: 1_500_000n,
});
