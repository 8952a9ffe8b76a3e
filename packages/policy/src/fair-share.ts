/**
 * Who may take a slot of a bound that several accounts share, and several keys within each account.
 *
 * Of a bound, a part is kept free of those who have their fair share: only a party below its share may enter it. The rule holds
 * twice: for accounts within the bound, and for the keys of an account within what that account may take. Where only one party is
 * known nothing is kept, for there is nobody to keep it for. A decision takes constant time.
 */

/** The part that is kept where nobody says otherwise. */
export const RESERVED_SHARE: number = 0.25;

/** Those who share something, and the one of them who asks. */
export interface Party {
  /** Slots that the asker holds. */
  readonly held: number;
  /** How many of them hold a slot, the asker counted in any case. */
  readonly active: number;
  /** How many of them there are, idle ones too. */
  readonly known: number;
}

export interface SlotAsk {
  /** Slots in all. */
  readonly bound: number;
  /** Slots that are taken, by whomever. */
  readonly taken: number;
  /** Part of a bound that is kept for parties below their fair share, from 0 to 1. */
  readonly reservedShare: number;
  readonly account: Party;
  /** Keys of this account. */
  readonly key: Party;
}

/** What is free is kept for other accounts, or for other keys of this account. */
export interface ShareRefusal {
  readonly reason: "account" | "key";
  /** Slots in all. */
  readonly bound: number;
  /** Slots that this account or key may have right now. */
  readonly allotment: number;
}

/** Why there is no slot; `full`: none is free. */
export type SlotRefusal = { readonly reason: "full" } | ShareRefusal;

/** Null when the asker may take one slot more. */
export function slotRefusal({ bound, taken, reservedShare, account, key }: SlotAsk): SlotRefusal | null {
  if (taken >= bound) return { reason: "full" };
  const ofAccount = allotmentOf(bound, taken - account.held, account, reservedShare);
  if (account.held >= ofAccount) return { reason: "account", bound, allotment: ofAccount };
  const ofKey = allotmentOf(ofAccount, account.held - key.held, key, reservedShare);
  return key.held >= ofKey ? { reason: "key", bound, allotment: ofKey } : null;
}

/** How many slots of a bound a party may have while others hold so many: its fair share at least, and what is not kept. */
function allotmentOf(bound: number, othersHold: number, party: Party, reservedShare: number): number {
  const isAlone = Math.max(party.known, party.active) <= 1;
  const reserved = isAlone ? 0 : Math.floor(bound * reservedShare);
  return Math.max(fairShare(bound, party), bound - reserved - othersHold);
}

/** A bound divided by those who are active, and one who may come, if there is one. */
function fairShare(bound: number, { active, known }: Party): number {
  return Math.ceil(bound / Math.max(active, Math.min(active + 1, known)));
}
