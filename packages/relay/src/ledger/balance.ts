/** An account's credit as it is shown. */
import { money } from "@millrace/wire/money-json";
import type { MoneyMembers } from "@millrace/wire/money-json";
import type { Balances, Operation, Result } from "./operation.ts";

/** Whoever can be asked about money. */
export interface LedgerPort {
  ask(operation: Operation): Promise<Result>;
}

export type ShownBalance = { readonly account_id: string; readonly currency: "USD" } & MoneyMembers<
  "balance" | "held" | "available",
  string
>;

/** The wallet of an account as it is now; null when it has none, a code when the ledger does not answer. */
export async function readBalance(ledger: LedgerPort, accountId: string): Promise<ShownBalance | "store_unavailable" | null> {
  // Sweeping expired credit is a reading that tells the truth.
  const result = await ledger.ask({ kind: "expire_lots", accountId });
  if (result.ok) return result.balances === null ? null : shownBalance(result.balances);
  return result.code === "account_unknown" ? null : "store_unavailable";
}

export function shownBalance({ accountId, balanceNanos, heldNanos, availableNanos }: Balances): ShownBalance {
  return {
    account_id: accountId,
    currency: "USD",
    ...money("balance", balanceNanos),
    ...money("held", heldNanos),
    ...money("available", availableNanos),
  };
}
