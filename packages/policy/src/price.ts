/**
 * What tokens cost. Everything is an integer: tokens x pico-USD per token x markup in millionths = atto-USD (1e-18 $), summed
 * exactly, and rounded once, up, to nano-USD. So 0 <= charge - exact < 1 nano, a paid token is never free and a free one never
 * costs, on every platform. The formula is `ceil(sum(tokens x pico x ppm) / 1e9) + per request`.
 */
import { type Nanos, nanos, type PicoPerToken } from "@millrace/wire/money";
import { calendarNamed, isHoliday, utcClock } from "./calendar.ts";

/** Prices of one token by its kind. */
export interface PriceKinds {
  readonly input: PicoPerToken;
  readonly cachedInput: PicoPerToken;
  /** Written to a cache for five minutes, or for a time that the upstream does not report. */
  readonly cacheWrite5m: PicoPerToken;
  readonly cacheWrite1h: PicoPerToken;
  readonly output: PicoPerToken;
  /** Null: as output. */
  readonly reasoning: PicoPerToken | null;
}

/** If the prompt has more tokens than this, the band prices the whole request. */
export interface PriceBand {
  readonly aboveInputTokens: number;
  readonly kinds: PriceKinds;
}

/** Prices for prompts of every length. Bands ascend. */
export interface PriceRates {
  readonly kinds: PriceKinds;
  readonly bands: readonly PriceBand[];
}

/** A ratio of two positive integers, by which every price of the version is multiplied; each product is whole. */
export interface PriceRatio {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Times at which other prices hold. */
export interface PriceWindow {
  readonly name: string;
  /** Minutes since midnight UTC: from the first, up to but without the second; at most 1440. */
  readonly utcMinutes: readonly (readonly [from: number, to: number])[];
  /** UTC weekdays, 0 is Sunday. */
  readonly weekdays: readonly number[];
  /** Name of a calendar on whose holidays the window is closed. */
  readonly exceptHolidays: string | null;
  readonly rates: PriceRates | PriceRatio;
}

/** One dated state of a price. Immutable; what differs has another id. */
export interface PriceVersion extends PriceRates {
  readonly id: string;
  /** Unix milliseconds. */
  readonly effectiveFromMs: number;
  /** The first open window decides; outside all windows the version's own rates apply. */
  readonly windows: readonly PriceWindow[];
  /** Added to every request, after rounding and without the markup. */
  readonly perRequestNanos: Nanos;
  /** Markup in millionths; 1_000_000 = no markup. */
  readonly markupPpm: bigint;
}

/** Ascending by date. */
export type PriceHistory = readonly PriceVersion[];

/** A version at an instant. Its parts are what a receipt and a pinned hold name. */
export interface PriceAt {
  readonly version: PriceVersion;
  readonly window: PriceWindow | null;
}

/** Tokens as reported. `input` and `output` include the parts named beside them. */
export interface BilledUsage {
  readonly input: number;
  readonly cachedInput: number;
  readonly cacheWrite: number;
  /** The part of `cacheWrite` that is kept for an hour. */
  readonly cacheWrite1h?: number;
  readonly output: number;
  readonly reasoning: number;
}

export type TokenKind = keyof PriceKinds;

/** One line of a receipt. */
export interface CostPart {
  readonly kind: TokenKind;
  readonly tokens: bigint;
  readonly price: PicoPerToken;
  /** tokens x price x markup, exactly, in atto-USD (1e-18 $). */
  readonly exactAtto: bigint;
}

export interface Cost {
  /** Input kinds sum to the reported input, the others to the reported output. */
  readonly parts: readonly CostPart[];
  /** The band that priced the request, or null. */
  readonly bandAbove: number | null;
  readonly window: string | null;
  readonly exactAtto: bigint;
  readonly perRequestNanos: Nanos;
  readonly chargeNanos: Nanos;
}

export const NO_MARKUP_PPM: bigint = 1_000_000n;

/** More than any request can have; keeps a hostile report inside the ledger's 64 bits. */
const TOKENS_MAX = 1_000_000_000;

const ATTO_PER_NANO = 1_000_000_000n;

/** The version in force at the instant and its open window; null before the first version. */
export function priceIn(history: PriceHistory, instantMs: number): PriceAt | null {
  const version = history.findLast((one) => one.effectiveFromMs <= instantMs);
  if (version === undefined) return null;
  return { version, window: version.windows.find((window) => isOpen(window, instantMs)) ?? null };
}

/** The same for a model of a book. */
export function priceAt(book: ReadonlyMap<string, PriceHistory>, model: string, instantMs: number): PriceAt | null {
  return priceIn(book.get(model) ?? [], instantMs);
}

/** Says whether a window is open at the instant. */
export function isOpen(window: PriceWindow, instantMs: number): boolean {
  const { minute, weekday } = utcClock(instantMs);
  if (!window.weekdays.includes(weekday) || !window.utcMinutes.some(([from, to]) => from <= minute && minute < to)) return false;
  const calendar = window.exceptHolidays === null ? null : calendarNamed(window.exceptHolidays);
  return calendar === null || !isHoliday(calendar, instantMs);
}

/** The price of a usage with its parts. Rounded up, once. */
export function costOf({ version, window }: PriceAt, usage: BilledUsage): Cost {
  const rates = ratesIn(version, window);
  const input = tokensOf(usage.input);
  const band = rates.bands.findLast(({ aboveInputTokens }) => input > BigInt(aboveInputTokens)) ?? null;
  const parts = partsOf(usage, band?.kinds ?? rates.kinds, version.markupPpm);
  const exactAtto = parts.reduce((sum, part) => sum + part.exactAtto, 0n);
  return {
    parts,
    bandAbove: band?.aboveInputTokens ?? null,
    window: window?.name ?? null,
    exactAtto,
    perRequestNanos: version.perRequestNanos,
    chargeNanos: nanos(roundUp(exactAtto) + version.perRequestNanos),
  };
}

/** Only the charge. */
export function costNanos(price: PriceAt, usage: BilledUsage): Nanos {
  return costOf(price, usage).chargeNanos;
}

/** What a window makes of a version's prices. */
export function ratesIn(version: PriceVersion, window: PriceWindow | null): PriceRates {
  if (window === null) return version;
  const { rates } = window;
  if ("kinds" in rates) return rates;
  const bands = version.bands.map((band) => ({ ...band, kinds: mapKinds(band.kinds, (price) => times(price, rates)) }));
  return { kinds: mapKinds(version.kinds, (price) => times(price, rates)), bands };
}

/** Other prices for every kind. */
export function mapKinds(kinds: PriceKinds, change: (price: PicoPerToken) => PicoPerToken): PriceKinds {
  return {
    input: change(kinds.input),
    cachedInput: change(kinds.cachedInput),
    cacheWrite5m: change(kinds.cacheWrite5m),
    cacheWrite1h: change(kinds.cacheWrite1h),
    output: change(kinds.output),
    reasoning: kinds.reasoning === null ? null : change(kinds.reasoning),
  };
}

/** Exact for checked versions; otherwise rounds the price up. */
function times(price: PicoPerToken, { numerator, denominator }: PriceRatio): PicoPerToken {
  return ((price * numerator + denominator - 1n) / denominator) as PicoPerToken;
}

/** Reduces overlapping counts, so that each token is billed once: a cached token was not written, a reasoning token is output. */
function partsOf(usage: BilledUsage, kinds: PriceKinds, ppm: bigint): CostPart[] {
  const input = tokensOf(usage.input);
  const cached = least(tokensOf(usage.cachedInput), input);
  const written = least(tokensOf(usage.cacheWrite), input - cached);
  const writtenLong = least(tokensOf(usage.cacheWrite1h ?? 0), written);
  const output = tokensOf(usage.output);
  const reasoning = least(tokensOf(usage.reasoning), output);
  const part = (kind: TokenKind, tokens: bigint): CostPart => {
    const price = kinds[kind] ?? kinds.output;
    return { kind, tokens, price, exactAtto: tokens * price * ppm };
  };
  return [
    part("input", input - cached - written),
    part("cachedInput", cached),
    part("cacheWrite5m", written - writtenLong),
    part("cacheWrite1h", writtenLong),
    part("output", output - reasoning),
    part("reasoning", reasoning),
  ].filter(({ tokens }) => tokens > 0n);
}

/** Invalid counts become 0; counts are capped at `TOKENS_MAX`. */
function tokensOf(count: number): bigint {
  return count > 0 ? BigInt(Math.ceil(Math.min(count, TOKENS_MAX))) : 0n;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Atto-USD to nano-USD, up; the one rounding there is. */
export function roundUp(exactAtto: bigint): bigint {
  return (exactAtto + ATTO_PER_NANO - 1n) / ATTO_PER_NANO;
}
