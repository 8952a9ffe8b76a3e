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
 * Output costs so much more than input that what was set aside tells for how many tokens of output it was, and so the number of
 * the request: each asks for as many as its number. The odd digits make sums that must be rounded.
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
  // Input costs enough that a hold tells the prompt's bound, too: by it sliding ones are known, which begin all alike.
  long: { input: "0.010007", cached_input: "0.001003", output: "1000.000333" },
};

/** Money for this model's streams is set aside as they grow. */
export const SLIDING = "long";
/** Tokens of output that a sliding hold begins with, and is ahead by when it grows. */
export const WINDOW = 2_048;

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

/** The most tokens that a prompt of this many bytes counts for. */
export function promptBound(bytes: number): number {
  return Math.ceil(bytes / 2) + 64;
}

/** What the hold must cover: `prompt` and `output` tokens at their highest price, in nano-USD. */
export function holdFor(model: string, prompt: number, output: number): bigint {
  const price = priceNamed(model);
  const reachable: Rates[] = [price, ...(price.bands ?? []).filter((band) => prompt > band.above)];
  const most = reachable.map((rates) => {
    const [input, each] = [dearest(rates.input, rates.cached_input), dearest(rates.output, rates.reasoning ?? rates.output)];
    return BigInt(prompt) * input + BigInt(output) * each;
  });
  return (most.reduce((a, b) => (a > b ? a : b)) + 999n) / 1_000n + scaled(price.per_request ?? "0", 9);
}

/** For how many tokens of the prompt and of output `nanos` were set aside. The prompt's is exact for {@link SLIDING} alone. */
export function tokensHeld(model: string, nanos: bigint): { readonly prompt: number; readonly output: number } {
  const price = priceNamed(model);
  const [input, output] = [dearest(price.input, price.cached_input), dearest(price.output, price.reasoning ?? price.output)];
  const sum = (nanos - scaled(price.per_request ?? "0", 9)) * 1_000n;
  return { prompt: Number((sum % output) / input), output: Number(sum / output) };
}

function dearest(one: string, other: string): bigint {
  return pico(one) > pico(other) ? pico(one) : pico(other);
}
