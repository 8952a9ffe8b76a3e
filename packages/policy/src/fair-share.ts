/**
 * Who may take a place of a bound that several accounts share, and several keys within each account.
 *
 * Of a bound, a part is kept free of those who have their fair share: only a party below its share may enter it. The rule holds
 * twice: for accounts within the bound, and for the keys of an account within what that account may take. Where only one party is
 * known nothing is kept, for there is nobody to keep it for. A decision takes constant time.
 */

/** The part that is kept where nobody says otherwise. */
export const RESERVED_SHARE: number = 0.25;

/** Those who share something, and the one of them who asks. */
export interface Party {
  /** Places that the asker holds. */
  readonly held: number;
  /** How many of them hold a place, the asker counted in any case. */
  readonly active: number;
  /** How many of them there are, idle ones too. */
  readonly known: number;
}

export interface PlaceAsk {
  /** Places in all. */
  readonly bound: number;
  /** Places that are taken, by whomever. */
  readonly taken: number;
  /** Part of a bound that is kept for parties below their fair share, from 0 to 1. */
  readonly reservedShare: number;
  readonly account: Party;
  /** Keys of this account. */
  readonly key: Party;
}

/**
 * Why there is no place. `full`: none is free. `account`, `key`: what is free is kept for other accounts, or for other keys of this
 * account; `allotment` is how many places this one may have right now.
 */
export type PlaceRefusal = { readonly reason: "full" } | { readonly reason: "account" | "key"; readonly allotment: number };

/** Null when the asker may take one place more. */
export function placeRefusal({ bound, taken, reservedShare, account, key }: PlaceAsk): PlaceRefusal | null {
  if (taken >= bound) return { reason: "full" };
  const ofAccount = allotmentOf(bound, taken - account.held, account, reservedShare);
  if (account.held >= ofAccount) return { reason: "account", allotment: ofAccount };
  const ofKey = allotmentOf(ofAccount, account.held - key.held, key, reservedShare);
  return key.held >= ofKey ? { reason: "key", allotment: ofKey } : null;
}

/** How many places of a bound a party may have while others hold so many: its fair share at least, and what is not kept. */
function allotmentOf(bound: number, othersHold: number, party: Party, reservedShare: number): number {
  const isAlone = Math.max(party.known, party.active) <= 1;
  const reserved = isAlone ? 0 : Math.floor(bound * reservedShare);
  return Math.max(fairShare(bound, party), bound - reserved - othersHold);
}

/** A bound divided by those who are active, and one who may come, if there is one. */
function fairShare(bound: number, { active, known }: Party): number {
  return Math.ceil(bound / Math.max(active, Math.min(active + 1, known)));
}
