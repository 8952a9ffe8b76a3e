/** An account's credit as it is shown. */
import { formatUsd, nanos } from "@millrace/wire/money";
import type { Balances, Operation, Result } from "./operation.ts";

/** Whoever can be asked about money. */
export interface LedgerPort {
  ask(operation: Operation): Promise<Result>;
}

/** Amounts as decimal text in USD, and the same in nano-USD as text. */
export interface ShownBalance {
  readonly account_id: string;
  readonly currency: "USD";
  readonly balance: string;
  readonly held: string;
  readonly available: string;
  readonly balance_nanos: string;
  readonly held_nanos: string;
  readonly available_nanos: string;
}

/** The wallet of an account as it is now; null when it has none, a code when the ledger does not answer. */
export async function readBalance(ledger: LedgerPort, accountId: string): Promise<ShownBalance | "store_unavailable" | null> {
  // Sweeping expired credit is a reading that tells the truth.
  const result = await ledger.ask({ kind: "expire_lots", accountId });
  if (result.ok) return result.balances === null ? null : shownBalance(result.balances);
  return result.code === "account_unknown" ? null : "store_unavailable";
}

export function shownBalance({ accountId, balanceNanos, heldNanos, availableNanos }: Balances): ShownBalance {
  const text = (amount: bigint): string => formatUsd(nanos(amount));
  return {
    account_id: accountId,
    currency: "USD",
    balance: text(balanceNanos),
    held: text(heldNanos),
    available: text(availableNanos),
    balance_nanos: String(balanceNanos),
    held_nanos: String(heldNanos),
    available_nanos: String(availableNanos),
  };
}
