/** A price version as JSON and back, for a database row, a receipt or a golden file. Integers that may be large are text. */
import { parseInteger, picoPerToken, nanos, toJson } from "@millrace/wire/money";
import type { PriceBand, PriceKinds, PriceRates, PriceRatio, PriceVersion, PriceWindow } from "./price.ts";

type JsonObject = Readonly<Record<string, unknown>>;

/** Plain data, fit for `JSON.stringify`. Equal versions make equal text. */
export function priceToJson(version: PriceVersion): object {
  return {
    id: version.id,
    effectiveFromMs: version.effectiveFromMs,
    ...ratesToJson(version),
    windows: version.windows.map(({ rates, ...when }) => ({
      name: when.name,
      utcMinutes: when.utcMinutes,
      weekdays: when.weekdays,
      exceptHolidays: when.exceptHolidays,
      rates: "kinds" in rates ? ratesToJson(rates) : ratioToJson(rates),
    })),
    perRequestNanos: toJson(version.perRequestNanos),
    markupPpm: version.markupPpm.toString(),
  };
}

function ratesToJson({ kinds, bands }: PriceRates): object {
  return {
    kinds: kindsToJson(kinds),
    bands: bands.map((band) => ({ aboveInputTokens: band.aboveInputTokens, kinds: kindsToJson(band.kinds) })),
  };
}

function ratioToJson({ numerator, denominator }: PriceRatio): object {
  return { numerator: numerator.toString(), denominator: denominator.toString() };
}

function kindsToJson(kinds: PriceKinds): object {
  return {
    input: toJson(kinds.input),
    cachedInput: toJson(kinds.cachedInput),
    cacheWrite5m: toJson(kinds.cacheWrite5m),
    cacheWrite1h: toJson(kinds.cacheWrite1h),
    output: toJson(kinds.output),
    reasoning: kinds.reasoning === null ? null : toJson(kinds.reasoning),
  };
}

/** Reads the output of `priceToJson`. Throws for anything else: the relay wrote it, so a fault is a bug or a damaged store. */
export function priceFromJson(data: unknown): PriceVersion {
  const json = object(data);
  return {
    id: text(json["id"]),
    effectiveFromMs: Number(json["effectiveFromMs"]),
    ...ratesFromJson(json),
    windows: list(json["windows"]).map(windowFromJson),
    perRequestNanos: nanos(integer(json["perRequestNanos"])),
    markupPpm: integer(json["markupPpm"]),
  };
}

function windowFromJson(data: unknown): PriceWindow {
  const json = object(data);
  const rates = object(json["rates"]);
  return {
    name: text(json["name"]),
    utcMinutes: list(json["utcMinutes"]).map((range): [number, number] => [Number(list(range)[0]), Number(list(range)[1])]),
    weekdays: list(json["weekdays"]).map(Number),
    exceptHolidays: json["exceptHolidays"] === null ? null : text(json["exceptHolidays"]),
    rates: "kinds" in rates ? ratesFromJson(rates) : { numerator: integer(rates["numerator"]), denominator: integer(rates["denominator"]) },
  };
}

function ratesFromJson(json: JsonObject): PriceRates {
  const bands = list(json["bands"]).map((data): PriceBand => {
    const band = object(data);
    return { aboveInputTokens: Number(band["aboveInputTokens"]), kinds: kindsFromJson(band["kinds"]) };
  });
  return { kinds: kindsFromJson(json["kinds"]), bands };
}

function kindsFromJson(data: unknown): PriceKinds {
  const json = object(data);
  const price = (key: keyof PriceKinds): PriceKinds["input"] => picoPerToken(integer(json[key]));
  return {
    input: price("input"),
    cachedInput: price("cachedInput"),
    cacheWrite5m: price("cacheWrite5m"),
    cacheWrite1h: price("cacheWrite1h"),
    output: price("output"),
    reasoning: json["reasoning"] === null ? null : price("reasoning"),
  };
}

function integer(text: unknown): bigint {
  const read = parseInteger(text);
  if ("fault" in read) throw new TypeError(`a stored price ${read.fault}`);
  return read.value;
}

function text(data: unknown): string {
  if (typeof data !== "string") throw new TypeError("a stored price lacks a text");
  return data;
}

function object(data: unknown): JsonObject {
  if (typeof data !== "object" || data === null || Array.isArray(data)) throw new TypeError("a stored price is not an object");
  return data as JsonObject;
}

function list(data: unknown): readonly unknown[] {
  if (!Array.isArray(data)) throw new TypeError("a stored price lacks a list");
  return data;
}
