/** Tiers for the tests of limits, and customers in them. */
import { newAccount } from "../../src/admission/accounts.ts";
import { newKeyRecord } from "../../src/admission/keys.ts";
import type { LimitsConfig, Tier } from "../../src/config/config.ts";
import type { TestRelay } from "../support/start-relay.ts";

export function tiers(named: Readonly<Record<string, Partial<Tier>>>, defaultTier: string | null = null): LimitsConfig {
  const whole = (tier: Partial<Tier>): Tier => ({ limits: {}, models: null, perModel: new Map(), ...tier });
  return { tiers: new Map(Object.entries(named).map(([name, tier]) => [name, whole(tier)])), defaultTier };
}

/** One tier for every account that has none. */
export function tierForAll(tier: Partial<Tier>): LimitsConfig {
  return tiers({ only: tier }, "only");
}

/** A new account with one key. */
export async function customer(relay: TestRelay, tier: string | null): Promise<{ port: number; key: string; url: string }> {
  const account = newAccount(`customer of ${tier ?? "no tier"}`, false, tier, Date.now());
  await relay.app.accounts.insert(account);
  const { text, record } = newKeyRecord(account.id, "test", Date.now());
  await relay.app.keys.insert(record);
  return { port: relay.port, key: text, url: relay.url };
}

/** The value of a metric without labels. */
export function gauge(relay: TestRelay, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(relay.app.metrics.render())?.[1] ?? Number.NaN);
}
