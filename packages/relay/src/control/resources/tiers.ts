/** The tiers of limits that the configuration names. */
import type { LimitSet } from "@millrace/policy/limit";
import * as z from "zod";
import { pageOfList } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";

/** Limits as the API writes them; null means no limit. */
export const LimitsShape = z.strictObject({
  rpm: z.number().nullable(),
  tpm: z.number().nullable(),
  in_flight: z.number().nullable(),
});

export function shownLimits({ rpm, tpm, inFlight }: LimitSet): z.output<typeof LimitsShape> {
  return { rpm: rpm ?? null, tpm: tpm ?? null, in_flight: inFlight ?? null };
}

/** A tier as the running configuration has it. */
export interface TierView {
  readonly name: string;
  readonly isDefault: boolean;
  readonly limits: LimitSet;
  readonly models: readonly string[] | null;
  readonly perModel: ReadonlyMap<string, LimitSet>;
}

export const TierShape = z.strictObject({
  name: z.string(),
  default: z.boolean(),
  limits: LimitsShape,
  models: z.array(z.string()).nullable(),
  per_model: z.array(z.strictObject({ model: z.string(), limits: LimitsShape })),
});

export function listTiers(tiers: readonly TierView[], wish: PageQuery): Page<z.output<typeof TierShape>> {
  const named = tiers.map((tier) => ({ ...tier, id: tier.name }));
  return pageOfList(named, wish, (tier) => ({
    name: tier.name,
    default: tier.isDefault,
    limits: shownLimits(tier.limits),
    models: tier.models === null ? null : [...tier.models],
    per_model: [...tier.perModel].map(([model, limits]) => ({ model, limits: shownLimits(limits) })),
  }));
}
