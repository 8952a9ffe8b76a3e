/** How results are worded. */
import type { UnitOfWork } from "./unit-of-work.ts";
import type { Balances, Done, HoldOutcome, RefusalCode, Refused } from "./operation.ts";
import type { Correction, Hold, Wallet } from "./state.ts";

export function refuse(code: RefusalCode, more: Omit<Refused, "ok" | "code"> = {}): Refused {
  return { ok: false, code, ...more };
}

export function done(wallet: Readonly<Wallet> | null | undefined, hold: HoldOutcome | null = null, isRepeat = false): Done {
  return { ok: true, isRepeat, balances: wallet ? balancesOf(wallet) : null, hold, recovery: null };
}

function balancesOf(wallet: Readonly<Wallet>): Balances {
  return {
    accountId: wallet.accountId,
    balanceNanos: wallet.balanceNanos,
    heldNanos: wallet.heldNanos,
    availableNanos: availableIn(wallet),
  };
}

/** What a new hold may take; less than nothing after a charge-back. */
export function availableIn(wallet: Readonly<Wallet>): bigint {
  return wallet.balanceNanos - wallet.heldNanos - wallet.floorNanos;
}

export function outcomeOf(hold: Readonly<Hold>, correction?: Readonly<Correction>): HoldOutcome {
  return {
    id: hold.id,
    state: hold.state,
    amountNanos: hold.amountNanos,
    chargedNanos: hold.chargedNanos === null ? null : hold.chargedNanos + (correction?.deltaNanos ?? 0n),
    writtenOffNanos: correction?.writtenOffNanos ?? hold.writtenOffNanos,
    basis: correction === undefined ? hold.basis : "exact",
  };
}

/** The hold with its correction counted in. */
export function netOutcome(draft: UnitOfWork, hold: Readonly<Hold>): HoldOutcome {
  return outcomeOf(hold, draft.corrections.get(hold.id));
}

export function walletOfHold(draft: UnitOfWork, hold: Readonly<Hold>): Wallet | null {
  return hold.walletId === null ? null : (draft.wallets.get(hold.walletId) ?? null);
}
