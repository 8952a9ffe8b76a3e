/** An account's wallet, for those who are not the ledger: it is opened, and its credit is shown. */
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

/** Opens an account's wallet, when it is made and again at each start: opening twice changes nothing. @throws when the ledger does not take it: then the account cannot spend. */
export async function openWallet(ledger: LedgerPort, accountId: string): Promise<void> {
  const result = await ledger.ask({ kind: "open_wallet", accountId, floorNanos: 0n });
  if (!result.ok) throw new Error(`the wallet of ${accountId} did not open: ${result.reason ?? result.code}`);
}
