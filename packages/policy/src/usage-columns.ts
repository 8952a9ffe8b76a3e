/** The column names of usage exports. The relay recognises a form by its column names, never by its maker. */

/** Tokens as exports split them: the whole input, or its uncached part, and the other parts. */
export type UsagePart = "total" | "uncached" | "cached" | "cacheWrite" | "output";

export type UsageRole = UsagePart | "day" | "end" | "model" | "type" | "amount" | "cost" | "currency";

/** Names for the same role: the first one found counts. Names on one line add up. */
const NAMES: Readonly<Record<UsageRole, readonly (readonly string[])[]>> = {
  day: [
    ["date"],
    ["day"],
    ["utc_date"],
    ["usage_date_utc"],
    ["usage_date"],
    ["start_time_iso"],
    ["start_time"],
    ["starting_at"],
    ["aggregation_timestamp"],
    ["timestamp"],
  ],
  end: [["end_time_iso"], ["end_time"], ["ending_at"]],
  model: [["model"], ["model_version"], ["model_name"], ["snapshot_id"]],
  total: [["input_tokens"], ["prompt_tokens"], ["n_context_tokens_total"], ["total_input_tokens"]],
  uncached: [
    ["uncached_input_tokens"],
    ["input_uncached_tokens"],
    ["input_cache_miss_tokens"],
    ["prompt_cache_miss_tokens"],
    ["usage_input_tokens_no_cache"],
  ],
  cached: [
    ["cached_input_tokens"],
    ["input_cached_tokens"],
    ["cache_read_input_tokens"],
    ["input_cache_hit_tokens"],
    ["prompt_cache_hit_tokens"],
    ["cached_tokens"],
    ["n_cached_context_tokens_total"],
    ["usage_input_tokens_cache_read"],
  ],
  cacheWrite: [
    ["cache_write_tokens"],
    ["input_cache_write_tokens"],
    ["cache_creation_input_tokens"],
    ["usage_input_tokens_cache_write"],
    ["usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h"],
    ["cache_creation_5m_input_tokens", "cache_creation_1h_input_tokens"],
    ["cache_creation_ephemeral_5m_input_tokens", "cache_creation_ephemeral_1h_input_tokens"],
  ],
  output: [["output_tokens"], ["completion_tokens"], ["n_generated_tokens_total"], ["total_output_tokens"], ["usage_output_tokens"]],
  type: [["type"], ["token_type"], ["usage_type"]],
  amount: [["amount"], ["tokens"], ["quantity"]],
  cost: [["cost"], ["cost_usd"], ["total_cost"], ["total_cost_usd"]],
  currency: [["currency"]],
};

export const USAGE_PARTS: readonly UsagePart[] = ["total", "uncached", "cached", "cacheWrite", "output"];

/** The columns of a file that have a role; empty if there are none. */
export type UsageColumns = Readonly<Record<UsageRole, readonly string[]>>;

/** `Input Tokens` and `input_tokens` are one name. */
export function columnName(written: string): string {
  return written
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, "_")
    .replaceAll(/^_|_$/g, "");
}

export function findColumns(names: ReadonlySet<string>): UsageColumns {
  const find = (role: UsageRole): readonly string[] =>
    NAMES[role].map((group) => group.filter((name) => names.has(name))).find((group) => group.length > 0) ?? [];
  return Object.fromEntries((Object.keys(NAMES) as UsageRole[]).map((role) => [role, find(role)])) as Record<UsageRole, readonly string[]>;
}

/** Every name that is accepted for a role. */
export function namesOf(role: UsageRole): readonly string[] {
  return NAMES[role].flat();
}

/** The part that a word means if each row has one kind of tokens, or null. */
export function partOfType(type: string): UsagePart | null {
  const name = columnName(type);
  return USAGE_PARTS.find((part) => namesOf(part).includes(name)) ?? null;
}
