/** The rows of the ledger as the engine sees them: what a batch touches, loaded under lock. */
import type { Period } from "./window.ts";

export type WalletStatus = "active" | "frozen" | "closed";
export type LotKind = "paid" | "promo" | "comp";
export type HoldMode = "full" | "sliding";
export type HoldState = "open" | "settled" | "voided" | "recovered";
/** Where the token counts of a charge come from. A closed list; each has a line in docs/data.md. */
export const BASES = ["exact", "estimated", "checkpoint", "none"] as const;
export type Basis = (typeof BASES)[number];

/** Ledger accounts that are ours. They carry no balance: what they hold is the sum of their transfers. */
export type PlatformAccount = "cash" | "revenue" | "promo_cost" | "breakage" | "refund_clearing" | "adjust";

export type TransferCode =
  | "topup"
  | "promo"
  | "comp"
  | "usage"
  | "usage_promo"
  | "correction"
  | "expire"
  | "refund_reserve"
  | "refund_done"
  | "refund_undo"
  | "adjust";

/** The ledger account that holds a customer's credit. */
export interface Wallet {
  readonly id: string;
  readonly accountId: string;
  /** Credits in minus debits out, of all transfers. */
  balanceNanos: bigint;
  /** Sum of its open holds. */
  heldNanos: bigint;
  /** How far a hold may go below nothing: 0 or less. Asked when money is set aside or charged, not of the balance as such. */
  floorNanos: bigint;
  status: WalletStatus;
  /** Number of its transfers: orders them whatever the clocks say. */
  seq: number;
  /** Number of holds ever made, to say which came first. */
  holdCount: number;
}

/** One dated portion of credit. */
export interface Lot {
  readonly id: string;
  readonly walletId: string;
  readonly kind: LotKind;
  readonly reference: string;
  readonly amountNanos: bigint;
  remainingNanos: bigint;
  /** Nothing remains. Said apart from how much does, so that what lots are found by changes with it alone. */
  isUsedUp: boolean;
  /** Lower is used first. */
  readonly priority: number;
  readonly isRefundable: boolean;
  readonly expiresAtMs: number | null;
  /**
   * Once it has expired: how many holds the wallet had made by then. Those may still use it, later ones may not, whatever
   * the clock says afterwards.
   */
  expiredAfterHold: number | null;
  readonly createdAtMs: number;
}

/** A bound on spending: so much per window. */
export interface Budget {
  readonly id: string;
  readonly scope: string;
  period: Period;
  capNanos: bigint;
}

export interface BudgetWindow {
  readonly id: string;
  readonly budgetId: string;
  readonly startMs: number;
  spentNanos: bigint;
  heldNanos: bigint;
}

export interface Hold {
  readonly id: string;
  readonly accountId: string;
  /** Null for a hold that only counts against budgets, of an account that is not metered. */
  readonly walletId: string | null;
  readonly keyId: string;
  readonly model: string;
  readonly mode: HoldMode;
  readonly priceId: string;
  readonly node: string;
  readonly epoch: number;
  readonly idempotencyKey: string | null;
  readonly createdAtMs: number;
  /** The budget windows it counts in, for good: one that turns meanwhile changes nothing. */
  readonly windowIds: readonly string[];
  /** Which of the wallet's holds it is; the first is 1. */
  readonly ordinal: number;
  amountNanos: bigint;
  state: HoldState;
  checkpointSeq: number;
  checkpointNanos: bigint;
  inputTokens: number;
  outputTokens: number;
  /** Null while it is open, like the three that follow. */
  chargedNanos: bigint | null;
  basis: Basis | null;
  endReason: string | null;
  closedAtMs: number | null;
  writtenOffNanos: bigint;
}

/** One debit and one credit of the same amount, for good. */
export interface Transfer {
  /** Made from its cause, and so the idempotency key: the same cause cannot move money twice. */
  readonly id: string;
  /** What it belongs to: the transfers of one settlement share it. */
  readonly cause: string;
  readonly debit: string;
  readonly credit: string;
  readonly amountNanos: bigint;
  readonly code: TransferCode;
  readonly walletId: string | null;
  readonly walletSeq: number | null;
  readonly balanceAfterNanos: bigint | null;
  readonly holdId: string | null;
  readonly reason: string | null;
  readonly actor: string | null;
  readonly createdAtMs: number;
}

/** What a transfer did to a lot. */
export interface LotMove {
  readonly transferId: string;
  readonly lotId: string;
  readonly deltaNanos: bigint;
}

/** The late truth about a closed hold: a row of its own, next to which the first one stays as it was. */
export interface Correction {
  /** The hold's id: one correction each. */
  readonly id: string;
  readonly costNanos: bigint;
  readonly deltaNanos: bigint;
  readonly writtenOffNanos: bigint;
  readonly createdAtMs: number;
}

export interface Refund {
  readonly id: string;
  readonly lotId: string;
  readonly walletId: string;
  readonly amountNanos: bigint;
  state: "reserved" | "done" | "failed";
  readonly actor: string;
  readonly createdAtMs: number;
  closedAtMs: number | null;
}

/** A client's Idempotency-Key and the hold it made. */
export interface Idempotency {
  /** See {@link idempotencyId}. */
  readonly id: string;
  readonly accountId: string;
  readonly key: string;
  readonly holdId: string;
  readonly bodySha256: string;
  readonly createdAtMs: number;
  /** The hold's state when it was loaded. */
  readonly holdState: HoldState;
}

/** A process that owns holds. A higher epoch means that an earlier life of it is over. */
export interface LedgerNode {
  readonly id: string;
  epoch: number;
  leaseUntilMs: number;
}

/** All that moved for one request. The net charge is what the hold was charged, and the correction's difference. */
export interface LedgerReceipt {
  readonly hold: Omit<Hold, "windowIds">;
  readonly correction: Correction | null;
  readonly transfers: readonly Transfer[];
  readonly lotMoves: readonly LotMove[];
}

type Rows<T> = ReadonlyMap<string, Readonly<T>>;

/**
 * What a batch may touch. For each wallet: all lots with something left, and, if one of its lots has expired, all its open
 * holds, because what they may still need is kept.
 */
export interface LedgerState {
  readonly wallets: Rows<Wallet>;
  readonly lots: Rows<Lot>;
  readonly budgets: Rows<Budget>;
  readonly windows: Rows<BudgetWindow>;
  readonly holds: Rows<Hold>;
  readonly transfers: Rows<Transfer>;
  readonly corrections: Rows<Correction>;
  readonly refunds: Rows<Refund>;
  readonly idempotency: Rows<Idempotency>;
  readonly nodes: Rows<LedgerNode>;
  /** Moves of the settlements of the holds that are to be corrected, by hold. */
  readonly settledMoves: ReadonlyMap<string, readonly LotMove[]>;
}

/** Rows that are new, and rows that changed, each with what it was. */
export interface TableChanges<T> {
  readonly added: readonly Readonly<T>[];
  readonly changed: readonly { readonly before: Readonly<T>; readonly after: Readonly<T> }[];
}

/** What a batch writes. */
export interface Changes {
  readonly wallets: TableChanges<Wallet>;
  readonly lots: TableChanges<Lot>;
  readonly budgets: TableChanges<Budget>;
  readonly windows: TableChanges<BudgetWindow>;
  readonly holds: TableChanges<Hold>;
  readonly refunds: TableChanges<Refund>;
  readonly nodes: TableChanges<LedgerNode>;
  readonly transfers: readonly Transfer[];
  readonly lotMoves: readonly LotMove[];
  readonly corrections: readonly Correction[];
  /** Freed keys go before new ones are written: a key may be freed and taken in one batch. */
  readonly idempotencyFreed: readonly { readonly accountId: string; readonly key: string; readonly holdId: string }[];
  readonly idempotencyAdded: readonly Idempotency[];
}

export function walletIdOf(accountId: string): string {
  return `wallet:${accountId}`;
}

export function windowIdOf(budgetId: string, startMs: number): string {
  return `${budgetId}@${startMs}`;
}

/** Length-prefixed, so that no two pairs share an id. */
export function idempotencyId(accountId: string, key: string): string {
  return `${accountId.length}:${accountId}:${key}`;
}
