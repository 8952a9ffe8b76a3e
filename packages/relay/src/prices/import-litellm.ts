/** LiteLLM's `model_prices_and_context_window.json`: one map of names, USD per token, tiers as suffixes of keys, no dates. */
import type { JsonObject } from "@millrace/wire/json-values";
import {
  type ForeignRow,
  type ImportFinding,
  isMapping,
  perMillion,
  type ProviderNames,
  providerNamed,
  textOf,
  type WrittenVersion,
} from "./foreign.ts";

/** Their keys and ours. */
const KINDS: readonly (readonly [theirs: string, ours: string])[] = [
  ["input_cost_per_token", "input"],
  ["cache_read_input_token_cost", "cached_input"],
  ["cache_creation_input_token_cost", "cache_write"],
  ["cache_creation_input_token_cost_above_1hr", "cache_write_1h"],
  ["output_cost_per_token", "output"],
  ["output_cost_per_reasoning_token", "reasoning"],
];

const MODES: readonly string[] = ["chat", "completion", "responses", "embedding"];

const TIER = /_above_(\d{1,6})k_tokens$/;

/** Rows for every entry that can be kept; the rest are reported in `findings`. */
export function readLitellm(data: JsonObject, names: ProviderNames, findings: ImportFinding[]): ForeignRow[] {
  return Object.entries(data).flatMap(([key, entry]) => (isMapping(entry) ? readEntry(key, entry, names, findings) : []));
}

function readEntry(key: string, entry: JsonObject, names: ProviderNames, findings: ImportFinding[]): ForeignRow[] {
  const theirs = typeof entry["litellm_provider"] === "string" ? entry["litellm_provider"] : "";
  const model = key.startsWith(`${theirs}/`) ? key.slice(theirs.length + 1) : key;
  const provider = providerNamed(theirs, names);
  const name = `${provider}/${model}`;
  const reason = theirs === "" ? "is left out: it names no provider" : reasonToLeaveOut(entry);
  if (reason !== null) {
    findings.push({ name, reason });
    return [];
  }
  const lost = chargesLost(entry);
  if (lost.length > 0) findings.push({ name, reason: `has charges that are not imported: ${lost.join(", ")}` });
  return [{ provider, model, versions: [versionOf(entry)] }];
}

function reasonToLeaveOut(entry: JsonObject): string | null {
  if (!MODES.includes(String(entry["mode"]))) return "is left out: it is not billed by text tokens";
  if (textOf(entry["input_cost_per_token"]) === undefined) return "is left out: it has no price of input";
  if (entry["tiered_pricing"] != null) return "is left out: its tiers have a form of their own";
  return null;
}

function versionOf(entry: JsonObject): WrittenVersion {
  const bands = tiersOf(entry).map((tier) => ({ above: tier * 1000, ...kindsOf(entry, `_above_${tier}k_tokens`) }));
  return { ...kindsOf(entry, ""), bands };
}

/** A tier lists only what it changes. But if it lists no cached price, that price is unknown, not unchanged. */
function kindsOf(entry: JsonObject, suffix: string): WrittenVersion {
  const kinds = KINDS.map(([theirs, ours]): [string, string | undefined] => {
    const own = textOf(entry[theirs + suffix]);
    return [ours, perMillion(own ?? (ours === "cached_input" ? undefined : textOf(entry[theirs])))];
  });
  const written = Object.fromEntries(kinds.filter(([, price]) => price !== undefined));
  const isEmbedding = entry["mode"] === "embedding";
  return {
    ...(isEmbedding || entry["supports_prompt_caching"] === false ? { cached_input: "same" } : {}),
    ...(isEmbedding ? { output: "0" } : {}),
    ...written,
  };
}

/** Thousands of tokens above which something changes, ascending. */
function tiersOf(entry: JsonObject): number[] {
  const known = Object.keys(entry).filter((key) => KINDS.some(([theirs]) => key.startsWith(`${theirs}_above_`)) && isPriced(entry[key]));
  const tiers = known.flatMap((key) => TIER.exec(key)?.[1] ?? []).map(Number);
  return [...new Set(tiers)].toSorted((a, b) => a - b);
}

function chargesLost(entry: JsonObject): string[] {
  const isKnown = (key: string): boolean => KINDS.some(([theirs]) => key.replace(TIER, "") === theirs);
  return Object.keys(entry).filter((key) => key.includes("cost") && !isKnown(key) && isCharge(entry[key]));
}

function isPriced(value: unknown): boolean {
  return textOf(value) !== undefined;
}

function isCharge(value: unknown): boolean {
  return isMapping(value) || !/^[0.]*(?:[eE].*)?$/.test(textOf(value) ?? "0");
}
