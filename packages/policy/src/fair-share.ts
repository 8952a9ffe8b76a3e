/**
 * Decides who may take a slot of a bound that several accounts share, and several keys within each account.
 *
 * A part of the bound is reserved: only a party below its fair share may enter it. The rule applies twice: to accounts within the
 * bound, and to the keys of an account within what that account may take. If only one party is known, nothing is reserved, because
 * there is nobody to reserve it for. A decision takes constant time.
 */

/** The reserved part of a bound by default, from 0 to 1. */
export const RESERVED_SHARE: number = 0.25;

/** The parties that share a bound, and the one of them that asks. */
export interface Party {
  /** Slots that the asker has. */
  readonly held: number;
  /** The number of parties that have a slot; the asker always counts. */
  readonly active: number;
  /** The number of parties, idle ones too. */
  readonly known: number;
}

export interface SlotAsk {
  /** Slots in all. */
  readonly bound: number;
  /** Slots that any party has taken. */
  readonly taken: number;
  /** The part of a bound that is reserved for parties below their fair share, from 0 to 1. */
  readonly reservedShare: number;
  readonly account: Party;
  /** Keys of this account. */
  readonly key: Party;
}

/** The free slots are reserved for other accounts, or for other keys of this account. */
export interface ShareRefusal {
  readonly reason: "account" | "key";
  /** Slots in all. */
  readonly bound: number;
  /** Slots that this account or key may have right now. */
  readonly allotment: number;
}

/** Why there is no slot; `full`: no slot is free. */
export type SlotRefusal = { readonly reason: "full" } | ShareRefusal;

/** Null when the asker may take one slot more. */
export function slotRefusal({ bound, taken, reservedShare, account, key }: SlotAsk): SlotRefusal | null {
  if (taken >= bound) return { reason: "full" };
  const ofAccount = allotmentOf(bound, taken - account.held, account, reservedShare);
  if (account.held >= ofAccount) return { reason: "account", bound, allotment: ofAccount };
  const ofKey = allotmentOf(ofAccount, account.held - key.held, key, reservedShare);
  return key.held >= ofKey ? { reason: "key", bound, allotment: ofKey } : null;
}

/** How many slots of a bound a party may have while the others have `othersHold`: at least its fair share, and all that is not reserved. */
function allotmentOf(bound: number, othersHold: number, party: Party, reservedShare: number): number {
  const isAlone = Math.max(party.known, party.active) <= 1;
  const reserved = isAlone ? 0 : Math.floor(bound * reservedShare);
  return Math.max(fairShare(bound, party), bound - reserved - othersHold);
}

/** A bound divided by the number of active parties, plus one that may come, if there is one. */
function fairShare(bound: number, { active, known }: Party): number {
  return Math.ceil(bound / Math.max(active, Math.min(active + 1, known)));
}
