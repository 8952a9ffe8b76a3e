/** Faults of prices that are each well written but do not fit together. */
import { mapKinds, type PriceBand, type PriceKinds, type PriceRates, type PriceRatio } from "./price.ts";

interface BandFault {
  readonly path: readonly PropertyKey[];
  readonly fault: string;
}

/**
 * Bands must ascend, and none may be cheaper than the one below: otherwise a longer prompt would cost less.
 * @param canCompare False if some price could not be read; then prices are not compared.
 */
export function bandFaults(base: PriceKinds, bands: readonly PriceBand[], path: readonly PropertyKey[], canCompare: boolean): BandFault[] {
  return bands.flatMap((band, at): BandFault[] => {
    const below = bands[at - 1];
    const here = [...path, "bands", at];
    if (band.aboveInputTokens <= (below?.aboveInputTokens ?? 0))
      return [{ path: [...here, "above"], fault: "must be a whole number of tokens, more than in the band before" }];
    return canCompare && isCheaper(band.kinds, below?.kinds ?? base)
      ? [{ path: here, fault: "must not be cheaper than the prices below it" }]
      : [];
  });
}

function isCheaper(kinds: PriceKinds, than: PriceKinds): boolean {
  const keys: readonly (keyof PriceKinds)[] = ["input", "cachedInput", "cacheWrite5m", "cacheWrite1h", "output", "reasoning"];
  return keys.some((key) => (kinds[key] ?? kinds.output) < (than[key] ?? than.output));
}

/** A ratio must leave every price whole, or a receipt could not show it. */
export function ratioFault({ numerator, denominator }: PriceRatio, base: PriceRates): string | null {
  let isWhole = true;
  const check = (price: PriceKinds["input"]): PriceKinds["input"] => {
    isWhole &&= (price * numerator) % denominator === 0n;
    return price;
  };
  for (const kinds of [base.kinds, ...base.bands.map((band) => band.kinds)]) mapKinds(kinds, check);
  return isWhole ? null : "does not leave every price a whole number of pico-USD per token; write the prices themselves";
}
