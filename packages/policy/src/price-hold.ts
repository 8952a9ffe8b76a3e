/** The most that a request can cost. A hold of this amount is never too small. */
import { type Nanos, nanos } from "@millrace/wire/money";
import { type PriceKinds, type PriceRates, type PriceVersion, ratesIn, roundUp } from "./price.ts";

/** Bounds on a request's tokens, known before the relay sends it. */
export interface TokenBounds {
  /** No more prompt tokens than this. */
  readonly inputMax: number;
  /** No more billed output tokens than this, reasoning included, all choices together. */
  readonly outputMax: number;
  /** The most expensive kind of cache write that may be billed; by default `1h`, which covers every kind. */
  readonly cacheWrite?: "none" | "5m" | "1h";
}

/**
 * The price of the bounds at the most expensive window and band that they can reach, with every prompt token at the most expensive
 * kind. All windows count: for some providers nobody knows which instant decides, and a hold must suffice for each.
 */
export function holdNanos(version: PriceVersion, bounds: TokenBounds): Nanos {
  const rates = [null, ...version.windows].map((window) => ratesIn(version, window));
  const exact = rates.flatMap((one) => reachableKinds(one, bounds.inputMax)).map((kinds) => boundAtto(kinds, bounds) * version.markupPpm);
  return nanos(roundUp(exact.reduce((most, one) => (one > most ? one : most), 0n)) + version.perRequestNanos);
}

function reachableKinds(rates: PriceRates, inputMax: number): PriceKinds[] {
  const bands = rates.bands.filter(({ aboveInputTokens }) => inputMax > aboveInputTokens);
  return [rates.kinds, ...bands.map(({ kinds }) => kinds)];
}

function boundAtto(kinds: PriceKinds, { inputMax, outputMax, cacheWrite = "1h" }: TokenBounds): bigint {
  const written = { none: [], "5m": [kinds.cacheWrite5m], "1h": [kinds.cacheWrite5m, kinds.cacheWrite1h] }[cacheWrite];
  const input = dearest([kinds.input, kinds.cachedInput, ...written]);
  const output = dearest([kinds.output, kinds.reasoning ?? 0n]);
  return BigInt(Math.ceil(inputMax)) * input + BigInt(Math.ceil(outputMax)) * output;
}

function dearest(prices: readonly bigint[]): bigint {
  return prices.reduce((most, price) => (price > most ? price : most), 0n);
}
