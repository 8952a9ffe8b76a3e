/** What the oracle claims of money, and what it says when a claim does not hold. */

export const CLAIMS = {
  lost: "a whole answer that is not settled, or has no row",
  double: "a request that was charged or held twice",
  "wrong charge": "a charge that is not the price of its tokens",
  "wrong tokens": "tokens that the upstream did not report",
  "left open": "a hold that is open though nothing runs",
  unheld: "an upstream call with no hold made before it",
  "wrong hold": "a hold that is not as large as the rules say, or less than what was delivered",
  "wrong recovery": "a request cut by a death that was not charged at its last checkpoint",
  "ran twice": "an Idempotency-Key under which a request ran again after it was charged, or while it ran",
  "wrong refusal": "an Idempotency-Key that was refused though nothing had it",
  "wrong sums": "a summary that is not the sum of its rows",
  "wrong balance": "a wallet that is not its credits less its charges",
  "wrong credit": "a credit that was confirmed and is not there once, or is there twice",
  "looks whole": "an answer that looks whole and is not",
  bug: "a relay that wrote of a bug in itself",
  audit: "a claim of the ledger's own audit that does not hold",
} as const;

export type Claim = keyof typeof CLAIMS;

export interface Finding {
  readonly claim: Claim;
  /** Which, and what is wrong with it. */
  readonly says: string;
}
