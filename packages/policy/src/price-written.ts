/** Prices as people write them, USD per million tokens in decimal text, read into exact versions or into all their faults. */
import {
  type MoneyReading,
  nanos,
  parsePricePerMillion,
  parseScaled,
  parseUsd,
  type PicoPerToken,
  picoPerToken,
} from "@millrace/wire/money";
import { bandFaults, ratioFault } from "./price-faults.ts";
import type { PriceBand, PriceKinds, PriceRates, PriceRatio, PriceVersion, PriceWindow } from "./price.ts";
import { NO_MARKUP_PPM } from "./price.ts";
import { calendarsFault, parseDays, parseInstant, parseUtcRanges } from "./price-times.ts";

/** Where in the written price something is wrong, and what; worded to follow the path. */
export interface WrittenFault {
  readonly path: readonly PropertyKey[];
  readonly fault: string;
}

export type WrittenPrice = { readonly price: Omit<PriceVersion, "id"> } | { readonly faults: readonly WrittenFault[] };

type Mapping = Readonly<Record<string, unknown>>;
type Path = readonly PropertyKey[];

/** The word that means the price of uncached input. */
export const SAME = "same";

const KIND_KEYS: readonly string[] = ["input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning"];

/** Reads a mapping of any shape. */
export function readWrittenPrice(written: Mapping): WrittenPrice {
  const faults: WrittenFault[] = [];
  const rates = readRates(written, [], faults);
  const price = {
    effectiveFromMs: readOptional(written["from"], ["from"], parseInstant, 0, faults),
    ...rates,
    windows: mappingsIn(written["windows"]).map((window, at) => readWindow(window, rates, ["windows", at], faults)),
    perRequestNanos: readOptional(written["per_request"], ["per_request"], parseFee, nanos(0n), faults),
    markupPpm: NO_MARKUP_PPM,
  };
  return faults.length === 0 ? { price } : { faults };
}

/** `"1.25"` to 1,250,000 millionths. */
export function parseMarkup(text: unknown): MoneyReading<bigint> {
  const read = parseScaled(text, 6);
  return "value" in read && read.value < 0n ? { fault: "must not be negative" } : read;
}

/** `"2"`, `"0.5"` or `"1/3"`. */
export function parseRatio(text: unknown): MoneyReading<PriceRatio> {
  const parts = typeof text === "string" ? /^([1-9]\d{0,8})\/([1-9]\d{0,8})$/.exec(text) : null;
  if (parts !== null) return { value: { numerator: BigInt(parts[1] ?? "1"), denominator: BigInt(parts[2] ?? "1") } };
  const read = parseScaled(text, 6);
  if ("fault" in read) return read;
  return read.value > 0n ? { value: { numerator: read.value, denominator: 1_000_000n } } : { fault: "must be more than 0" };
}

function readRates(written: Mapping, path: Path, faults: WrittenFault[]): PriceRates {
  const before = faults.length;
  const kinds = readKinds(written, path, faults);
  const bands = mappingsIn(written["bands"]).map((band, at): PriceBand => {
    const { above } = band;
    return {
      aboveInputTokens: typeof above === "number" && Number.isSafeInteger(above) && above > 0 ? above : 0,
      kinds: readKinds(band, [...path, "bands", at], faults),
    };
  });
  faults.push(...bandFaults(kinds, bands, path, faults.length === before));
  return { kinds, bands };
}

function readKinds(written: Mapping, path: Path, faults: WrittenFault[]): PriceKinds {
  const price = (key: string, other: PicoPerToken | null): PicoPerToken =>
    other !== null && (written[key] === undefined || written[key] === SAME)
      ? other
      : readRequired(written[key], [...path, key], parsePricePerMillion, picoPerToken(0n), faults);
  const input = price("input", null);
  const cachedInput = price("cached_input", written["cached_input"] === SAME ? input : null);
  const cacheWrite5m = price("cache_write", input);
  const cacheWrite1h = price("cache_write_1h", cacheWrite5m);
  const output = price("output", null);
  const reasoning = written["reasoning"] === undefined ? null : price("reasoning", null);
  return { input, cachedInput, cacheWrite5m, cacheWrite1h, output, reasoning };
}

function readWindow(written: Mapping, base: PriceRates, path: Path, faults: WrittenFault[]): PriceWindow {
  const at = (key: string): Path => [...path, key];
  const calendar = written["except_holidays"];
  const calendarFault = calendar === undefined ? null : calendarsFault(calendar);
  if (calendarFault !== null) faults.push({ path: at("except_holidays"), fault: calendarFault });
  return {
    name: typeof written["name"] === "string" ? written["name"] : "",
    utcMinutes: readRequired(written["utc"], at("utc"), parseUtcRanges, [], faults),
    weekdays: readOptional(written["days"], at("days"), parseDays, [0, 1, 2, 3, 4, 5, 6], faults),
    exceptHolidays: typeof calendar === "string" ? calendar : null,
    rates: readWindowRates(written, base, path, faults),
  };
}

function readWindowRates(written: Mapping, base: PriceRates, path: Path, faults: WrittenFault[]): PriceRates | PriceRatio {
  const hasKinds = [...KIND_KEYS, "bands"].some((key) => written[key] !== undefined);
  if (hasKinds === (written["times"] !== undefined)) {
    faults.push({ path, fault: "must have either times or prices of its own" });
    return base;
  }
  if (hasKinds) return readRates(written, path, faults);
  const ratio = readRequired(written["times"], [...path, "times"], parseRatio, { numerator: 1n, denominator: 1n }, faults);
  const fault = ratioFault(ratio, base);
  if (fault !== null) faults.push({ path: [...path, "times"], fault });
  return ratio;
}

function parseFee(text: unknown): MoneyReading<ReturnType<typeof nanos>> {
  const read = parseUsd(text);
  return "value" in read && read.value < 0n ? { fault: "must not be negative" } : read;
}

function readOptional<T>(value: unknown, path: Path, parse: (text: unknown) => MoneyReading<T>, other: T, faults: WrittenFault[]): T {
  return value === undefined ? other : readRequired(value, path, parse, other, faults);
}

function readRequired<T>(value: unknown, path: Path, parse: (text: unknown) => MoneyReading<T>, other: T, faults: WrittenFault[]): T {
  const read = value === undefined ? { fault: "is missing" } : parse(value);
  if ("value" in read) return read.value;
  faults.push({ path, fault: read.fault });
  return other;
}

function mappingsIn(list: unknown): Mapping[] {
  const items: readonly unknown[] = Array.isArray(list) ? list : [];
  return items.map((item) => (typeof item === "object" && item !== null ? (item as Mapping) : {}));
}
