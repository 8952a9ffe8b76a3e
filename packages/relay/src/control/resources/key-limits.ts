/** The limits of a key: turns the request's form into the stored form, and budgets into operations of the ledger. */
import { parseUsd } from "@millrace/wire/money";
import type * as z from "zod";
import { budgetIdOf } from "../../admission/keys.ts";
import type { KeyBudget, KeyRecord, KeyWishes } from "../../admission/keys.ts";
import { isAmount } from "../../ledger/nanos.ts";
import type { OperationOf } from "../../ledger/operation.ts";
import { Refusal } from "../http/refusal.ts";
import { present } from "../http/shapes.ts";
import type { Budgets, KeyChange } from "./key-shapes.ts";

export function wishesOf({ expires_at, limits, budgets, ...rest }: z.output<typeof KeyChange>): KeyWishes {
  const caps = budgets === undefined ? undefined : (budgets?.map(budgetOf) ?? null);
  return present({ ...rest, expiresAt: expires_at, limits: limitsOf(limits), budgets: caps });
}

/** Null for a set that limits nothing; undefined if the caller did not name any. */
function limitsOf(given: z.output<typeof KeyChange>["limits"]): KeyRecord["limits"] | undefined {
  if (given === undefined) return undefined;
  const limits = present({ rpm: given?.rpm ?? undefined, tpm: given?.tpm ?? undefined, inFlight: given?.in_flight ?? undefined });
  return Object.keys(limits).length === 0 ? null : limits;
}

function budgetOf({ period, cap }: z.output<typeof Budgets>[number]): KeyBudget {
  const read = parseUsd(cap);
  if ("fault" in read) throw new Refusal("invalid_request", `The cap of the budget ${read.fault}.`);
  // Check it here too: the budgets of a key are several operations, and the ledger must not refuse one of them alone.
  if (!isAmount(read.value)) throw new Refusal("invalid_request", "The cap of the budget is too large.");
  return { period, capNanos: String(read.value) };
}

export function budgetsOf(key: KeyRecord): OperationOf<"set_budget">[] {
  return (key.budgets ?? []).map(({ period, capNanos }) => ({
    kind: "set_budget",
    id: budgetIdOf(key.id, period),
    scope: `key:${key.id}`,
    period,
    capNanos: BigInt(capNanos),
  }));
}
