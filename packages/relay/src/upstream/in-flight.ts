/**
 * Counts the calls of one upstream in flight, in total, by account and by key, and applies the rule about who may add one
 * (`fair-share.ts` of `policy`). The calls in flight bound the memory used here: an account or key without a call leaves nothing.
 */
import { slotRefusal } from "@millrace/policy/fair-share";
import type { Party, SlotAsk, SlotRefusal } from "@millrace/policy/fair-share";

/** Whose call it is. */
export interface Caller {
  readonly accountId: string;
  readonly keyId: string;
}

/** The accounts and keys that could call, idle ones too: a part of the bound is reserved for them. */
export interface KnownCallers {
  readonly accounts: number;
  keysOf(accountId: string): number;
}

/** The bound of one upstream. */
export interface InFlightBound {
  readonly inFlightMax: number;
  /** Part of it that is kept for accounts, then keys, below their fair share; from 0 to 1. */
  readonly reservedShare: number;
}

interface AccountCalls {
  count: number;
  readonly byKey: Map<string, number>;
}

export class InFlight {
  readonly #known: KnownCallers;
  readonly #byAccount = new Map<string, AccountCalls>();
  #count = 0;

  constructor(known: KnownCallers) {
    this.#known = known;
  }

  /** Calls in flight. */
  get count(): number {
    return this.#count;
  }

  /** Accounts that have a call in flight. */
  get accounts(): number {
    return this.#byAccount.size;
  }

  /** Why this caller may not add a call now; null when it may. */
  refusal(caller: Caller, bound: InFlightBound): SlotRefusal | null {
    return slotRefusal(this.#askOf(caller, bound));
  }

  /** Counts a call. @returns what takes it off again; it may be called more than once. */
  add({ accountId, keyId }: Caller): () => void {
    let account = this.#byAccount.get(accountId);
    if (account === undefined) this.#byAccount.set(accountId, (account = { count: 0, byKey: new Map() }));
    this.#count += 1;
    account.count += 1;
    account.byKey.set(keyId, (account.byKey.get(keyId) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (isHeld) this.#remove(accountId, keyId);
      isHeld = false;
    };
  }

  #remove(accountId: string, keyId: string): void {
    const account = this.#byAccount.get(accountId);
    const ofKey = account?.byKey.get(keyId);
    if (account === undefined || ofKey === undefined) throw new Error("a call in flight that was not counted is over");
    this.#count -= 1;
    account.count -= 1;
    if (ofKey > 1) account.byKey.set(keyId, ofKey - 1);
    else account.byKey.delete(keyId);
    if (account.count === 0) this.#byAccount.delete(accountId);
  }

  #askOf({ accountId, keyId }: Caller, { inFlightMax, reservedShare }: InFlightBound): SlotAsk {
    const account = this.#byAccount.get(accountId);
    return {
      bound: inFlightMax,
      taken: this.#count,
      reservedShare,
      account: partyOf(account?.count ?? 0, this.#byAccount.size, this.#known.accounts),
      key: partyOf(account?.byKey.get(keyId) ?? 0, account?.byKey.size ?? 0, this.#known.keysOf(accountId)),
    };
  }
}

/** A party without a call counts as active from now on. */
function partyOf(held: number, active: number, known: number): Party {
  return { held, active: held === 0 ? active + 1 : active, known };
}
