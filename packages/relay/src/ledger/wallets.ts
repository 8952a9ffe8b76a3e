/** Wallets are opened with their accounts, and again at each start: opening twice changes nothing. */
import type { LedgerPort } from "./balance.ts";

/** @throws when the ledger does not take it: then the account cannot spend. */
export async function openWallet(ledger: LedgerPort, accountId: string): Promise<void> {
  const result = await ledger.ask({ kind: "open_wallet", accountId, floorNanos: 0n });
  if (!result.ok) throw new Error(`the wallet of ${accountId} did not open: ${result.reason ?? result.code}`);
}
