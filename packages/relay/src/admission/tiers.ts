/** The tier that an account is under, by the configuration that a request came in with. */
import type { LimitsConfig, Tier } from "../config/config.ts";

const UNLIMITED: Tier = { limits: {}, models: null, perModel: new Map() };

/**
 * @param name the account's own tier; null is the default one.
 * @returns null if there is neither such a tier nor a default; without a tier and a default the relay does not limit an account.
 */
export function tierIn(limits: LimitsConfig | null, name: string | null): Tier | null {
  if (limits === null) return UNLIMITED;
  const found = name === null ? undefined : limits.tiers.get(name);
  if (found !== undefined) return found;
  if (limits.defaultTier === null) return name === null ? UNLIMITED : null;
  return limits.tiers.get(limits.defaultTier) ?? null;
}
