/**
 * What the models of a trial cost, and the price of tokens by an arithmetic of its own: from the decimal texts of the
 * configuration, in integers, with nothing of the relay's.
 */

export interface Tokens {
  readonly prompt: number;
  /** A part of the prompt. */
  readonly cached: number;
  readonly completion: number;
  /** A part of the completion. */
  readonly reasoning: number;
}

interface Rates {
  /** USD per million tokens. */
  readonly input: string;
  readonly cached_input: string;
  readonly output: string;
  readonly reasoning?: string;
}

interface Price extends Rates {
  /** USD. */
  readonly per_request?: string;
  readonly bands?: readonly (Rates & { readonly above: number })[];
}

/**
 * Output costs a million times what input costs, so that the number of a request can be read from what was set aside for it:
 * each asks for as many tokens as its number. The odd digits make sums that must be rounded.
 */
export const PRICES: Readonly<Record<string, Price>> = {
  flat: { input: "0.000777", cached_input: "0.000123", output: "1000.000333" },
  banded: {
    input: "0.001999",
    cached_input: "0.000111",
    output: "1200.000777",
    reasoning: "1500.000001",
    per_request: "0.000000007",
    bands: [{ above: 2_000, input: "0.003001", cached_input: "0.000211", output: "2000.000001", reasoning: "2500.000003" }],
  },
};

export const MODELS: readonly string[] = Object.keys(PRICES);

/** A decimal text, times ten to the power of `digits`. */
export function scaled(text: string, digits: number): bigint {
  const [whole = "", fraction = ""] = text.split(".");
  if (fraction.length > digits) throw new Error(`${text} has more than ${digits} digits after the point`);
  return BigInt(whole + fraction.padEnd(digits, "0"));
}

/** USD per million tokens is micro-USD per token; six digits more are pico-USD. */
function pico(text: string): bigint {
  return scaled(text, 6);
}

function priceNamed(model: string): Price {
  const price = PRICES[model];
  if (price === undefined) throw new Error(`no model is called ${model}`);
  return price;
}

/** Nano-USD, rounded up once. */
export function priceOf(model: string, tokens: Tokens): bigint {
  const price = priceNamed(model);
  const rates: Rates = price.bands?.findLast((band) => tokens.prompt > band.above) ?? price;
  const sum =
    BigInt(tokens.prompt - tokens.cached) * pico(rates.input) +
    BigInt(tokens.cached) * pico(rates.cached_input) +
    BigInt(tokens.completion - tokens.reasoning) * pico(rates.output) +
    BigInt(tokens.reasoning) * pico(rates.reasoning ?? rates.output);
  return (sum + 999n) / 1_000n + scaled(price.per_request ?? "0", 9);
}

/** The number of the request that `nanos` were set aside for: how many of the dearest output tokens are in it. */
export function numberIn(model: string, nanos: bigint): number {
  const price = priceNamed(model);
  const [output, reasoning] = [pico(price.output), pico(price.reasoning ?? price.output)];
  return Number(((nanos - scaled(price.per_request ?? "0", 9)) * 1_000n) / (output > reasoning ? output : reasoning));
}
