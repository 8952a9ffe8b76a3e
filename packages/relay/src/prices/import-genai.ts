/** The form of `pydantic/genai-prices`: providers with models, USD per million tokens, start dates, times of day, tiers. */
import type { JsonObject } from "@millrace/wire/json-values";
import {
  type ForeignRow,
  type ImportFinding,
  isMapping,
  perRequest,
  type ProviderNames,
  providerNamed,
  textOf,
  type WrittenVersion,
} from "./foreign.ts";

/** Their keys and ours. */
const KINDS: readonly (readonly [theirs: string, ours: string])[] = [
  ["input_mtok", "input"],
  ["cache_read_mtok", "cached_input"],
  ["cache_write_mtok", "cache_write"],
  ["output_mtok", "output"],
];

const REQUESTS = "requests_kcount";

interface Dated {
  from: string | undefined;
  prices: JsonObject;
  /** In our list the first open window decides, in theirs the last; so the order is reversed. */
  windows: WrittenVersion[];
}

/** Rows for every model that can be kept; the rest are reported in `findings`. */
export function readGenai(providers: readonly unknown[], names: ProviderNames, findings: ImportFinding[]): ForeignRow[] {
  return providers.filter(isMapping).flatMap((provider) => {
    const name = providerNamed(String(provider["id"]), names);
    return listOf(provider["models"])
      .filter(isMapping)
      .flatMap((model) => readModel(name, model, findings));
  });
}

function readModel(provider: string, model: JsonObject, findings: ImportFinding[]): ForeignRow[] {
  const name = `${provider}/${String(model["id"])}`;
  const dated = datedOf(model["prices"]);
  if (typeof dated === "string") {
    findings.push({ name, reason: `is left out: ${dated}` });
    return [];
  }
  const lost = [...new Set(conditionsOf(model["prices"]).flatMap(({ prices }) => Object.keys(prices)))].filter((key) => !isKnown(key));
  if (lost.length > 0) findings.push({ name, reason: `has charges that are not imported: ${lost.join(", ")}` });
  const { exact, hasOthers } = namesOf(model["match"]);
  if (hasOthers) findings.push({ name, reason: "has rules for names that are not imported; its own name and exact ones are" });
  const versions = dated.map(versionOf);
  return [...new Set([String(model["id"]), ...exact])].map((one) => ({ provider, model: one, versions }));
}

/** In their list the last condition that holds decides; we have versions with windows. Returns a sentence if a condition cannot be expressed. */
function datedOf(prices: unknown): Dated[] | string {
  const dated: Dated[] = [];
  for (const { constraint, prices: own } of conditionsOf(prices)) {
    if (constraint === null || typeof constraint["start_date"] === "string") {
      dated.push({ from: constraint === null ? undefined : String(constraint["start_date"]), prices: own, windows: [] });
    } else if (typeof constraint["start_time"] === "string" && typeof constraint["end_time"] === "string") {
      const utc = `${minutesOf(constraint["start_time"])}-${minutesOf(constraint["end_time"])}`;
      if (own[REQUESTS] !== undefined) return "a fee per request depends on the time of day";
      for (const version of dated) version.windows.unshift({ name: `from ${utc.slice(0, 5)} UTC`, utc, ...ratesOf(own) });
    } else return "a condition is of an unknown form";
  }
  return dated.length === 0 ? "it has no prices" : dated;
}

function conditionsOf(prices: unknown): { readonly constraint: JsonObject | null; readonly prices: JsonObject }[] {
  if (isMapping(prices)) return [{ constraint: null, prices }];
  return listOf(prices)
    .filter(isMapping)
    .map((one) => ({
      constraint: isMapping(one["constraint"]) ? one["constraint"] : null,
      prices: isMapping(one["prices"]) ? one["prices"] : {},
    }));
}

/** `00:30:00Z` to `00:30`; anything finer is refused where times are read. */
function minutesOf(time: string): string {
  return time.replace(/:00(?:Z|\+00:00)?$/, "").replace(/Z$/, "");
}

function versionOf({ from, prices, windows }: Dated): WrittenVersion {
  const fee = textOf(prices[REQUESTS]);
  return {
    ...(from === undefined ? {} : { from }),
    ...ratesOf(prices),
    ...(fee === undefined ? {} : { per_request: perRequest(fee) }),
    windows,
  };
}

function ratesOf(prices: JsonObject): WrittenVersion {
  const starts = KINDS.flatMap(([key]) => tiersOf(prices[key]).map(({ start }) => start));
  const bands = [...new Set(starts)].toSorted((a, b) => a - b).map((above) => ({ above, ...kindsAt(prices, above) }));
  return { ...kindsAt(prices, 0), bands };
}

function kindsAt(prices: JsonObject, above: number): WrittenVersion {
  const kinds = KINDS.map(([theirs, ours]): [string, string | undefined] => {
    const price = prices[theirs];
    const tier = tiersOf(price).findLast(({ start }) => start <= above);
    return [ours, tier?.price ?? textOf(isMapping(price) ? price["base"] : price)];
  });
  return Object.fromEntries(kinds.filter(([, price]) => price !== undefined));
}

function tiersOf(price: unknown): { readonly start: number; readonly price: string | undefined }[] {
  return isMapping(price)
    ? listOf(price["tiers"])
        .filter(isMapping)
        .map((tier) => ({ start: Number(textOf(tier["start"])), price: textOf(tier["price"]) }))
    : [];
}

/** The names that a rule matches exactly, and whether it matches others too. */
function namesOf(match: unknown): { readonly exact: string[]; readonly hasOthers: boolean } {
  const rules = isMapping(match) && Array.isArray(match["or"]) ? (match["or"] as unknown[]) : [match];
  const exact = rules.flatMap((rule) => (isMapping(rule) && typeof rule["equals"] === "string" ? [rule["equals"]] : []));
  return { exact, hasOthers: match !== undefined && exact.length < rules.length };
}

function isKnown(key: string): boolean {
  return key === REQUESTS || KINDS.some(([theirs]) => theirs === key);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
