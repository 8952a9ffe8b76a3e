/** Keys as the control API takes and shows them. */
import { money } from "@millrace/wire/money-json";
import * as z from "zod";
import { SCOPES } from "../../admission/authorize.ts";
import type { KeyRecord } from "../../admission/keys.ts";
import { isoOf } from "../../basics/iso-time.ts";
import { networkFault } from "../../basics/network.ts";
import { instant, moneyShape, name, time, usd } from "../http/shapes.ts";
import { LimitsShape, shownLimits } from "./tiers.ts";

const OVERLAP_S_MAX = 30 * 86_400;
const PERIODS = ["day", "week", "month", "total"] as const;

const address = z.string().refine((text) => networkFault(text) === null, { error: "write an address, or a network such as 10.0.0.0/8" });
const count = z.number().int().min(1).max(1_000_000_000).nullable().optional();

export const Budgets = z
  .array(z.strictObject({ period: z.enum(PERIODS), cap: usd }))
  .max(PERIODS.length)
  .refine((budgets) => new Set(budgets.map((budget) => budget.period)).size === budgets.length, { error: "name each period once" });

const wishes = {
  name: name.optional(),
  expires_at: instant.nullable().optional(),
  scopes: z.array(z.enum(SCOPES)).min(1).nullable().optional(),
  models: z.array(z.string().min(1).max(256)).min(1).max(1_000).nullable().optional(),
  addresses: z.array(address).min(1).max(100).nullable().optional(),
  limits: z.strictObject({ rpm: count, tpm: count, in_flight: count }).nullable().optional(),
  budgets: Budgets.nullable().optional(),
};

export const KeyChange = z.strictObject(wishes);
/** Without `account_id` the key belongs to the caller's account, or else to the account that exists from the first start. */
export const NewKey = z.strictObject({ account_id: z.string().optional(), ...wishes });
export const Rotation = z.strictObject({ overlap_seconds: z.number().int().min(0).max(OVERLAP_S_MAX).default(86_400) });

export const KeyShape = z.strictObject({
  id: z.string(),
  account_id: z.string(),
  name: z.string(),
  hint: z.string(),
  created_at: time,
  expires_at: time.nullable(),
  revoked_at: time.nullable(),
  scopes: z.array(z.string()).nullable(),
  models: z.array(z.string()).nullable(),
  addresses: z.array(z.string()).nullable(),
  limits: LimitsShape.nullable(),
  budgets: z.array(z.strictObject({ period: z.enum(PERIODS), ...moneyShape("cap") })),
});
/** With the key's text, which no other answer has. */
export const NewKeyShape = KeyShape.extend({ key: z.string() });
export const RotatedKeyShape = NewKeyShape.extend({ replaces: z.string() });

export type KeyView = z.output<typeof KeyShape>;

/** The key as the API shows it: never its text, never its hash. */
export function shownKey(key: KeyRecord): KeyView {
  return {
    id: key.id,
    account_id: key.accountId,
    name: key.name,
    hint: key.hint,
    created_at: isoOf(key.createdAt),
    expires_at: isoOf(key.expiresAt),
    revoked_at: isoOf(key.revokedAt),
    scopes: copyOf(key.scopes),
    models: copyOf(key.models),
    addresses: copyOf(key.addresses),
    limits: key.limits === null ? null : shownLimits(key.limits),
    budgets: (key.budgets ?? []).map(({ period, capNanos }) => ({ period, ...money("cap", BigInt(capNanos)) })),
  };
}

function copyOf(list: readonly string[] | null): string[] | null {
  return list === null ? null : [...list];
}
