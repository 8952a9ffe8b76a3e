/** The credit of a key's account, in the two shapes that clients expect. */
import { formatUsd, nanos } from "@millrace/wire/money";
import { relayError } from "../chat/relay-error.ts";
import { readBalance, shownBalance } from "../ledger/balance.ts";
import type { LedgerPort, ShownBalance } from "../ledger/balance.ts";
import { sendVisited, turnAway } from "./visit.ts";
import type { Visit } from "./visit.ts";

/** Where credit is looked up. */
export interface CreditPort {
  readonly ledger: LedgerPort;
  /** Nano-USD left of the credit that an account was given and did not pay for. Rejects when the store does not answer. */
  readonly givenTo: (accountId: string) => Promise<bigint>;
}

/** `GET /v1/balance` (`wallet`) and `GET /user/balance` (`infos`). */
export async function sendBalance(visit: Visit, credit: CreditPort, accountId: string, shape: "wallet" | "infos"): Promise<void> {
  const balance = await readBalance(credit.ledger, accountId);
  const given = shape === "wallet" ? 0n : await credit.givenTo(accountId).catch(() => "store_unavailable" as const);
  if (balance === "store_unavailable" || given === "store_unavailable")
    return turnAway(visit, relayError("store_unavailable", "The ledger does not answer.", { retryAfterS: 5 }));
  // An account that does not pay has no balance; it may always send requests.
  const shown = balance ?? shownBalance({ accountId, balanceNanos: 0n, heldNanos: 0n, availableNanos: 0n });
  sendVisited(visit, shape === "wallet" ? { ...shown, metered: balance !== null } : infosShape(shown, given, balance === null));
}

/** A negative balance appears as topped-up credit below zero: the account owes money, not granted credit. */
function infosShape(shown: ShownBalance, given: bigint, isFree: boolean): unknown {
  const total = BigInt(shown.balance_nanos);
  const granted = given < total ? given : total < 0n ? 0n : total;
  const [granted_balance, topped_up_balance] = [granted, total - granted].map((amount) => formatUsd(nanos(amount)));
  const info = { currency: shown.currency, total_balance: shown.balance, granted_balance, topped_up_balance };
  return { is_available: isFree || BigInt(shown.available_nanos) > 0n, balance_infos: [info] };
}
