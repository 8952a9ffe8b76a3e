/** What can be asked of the ledger, and what it answers. Every operation may be repeated: the second time changes nothing. */
import type { Basis, HoldMode, HoldState, LotKind, WalletStatus } from "./state.ts";
import type { Period } from "./window.ts";

/** Sets money aside before an upstream is asked. Its id is the request's, made by the server. */
export interface HoldOperation {
  readonly kind: "hold";
  readonly id: string;
  readonly accountId: string;
  readonly keyId: string;
  readonly model: string;
  readonly amountNanos: bigint;
  readonly mode: HoldMode;
  /** False for accounts that are not metered: then only the budgets count. */
  readonly isMetered: boolean;
  readonly budgetIds: readonly string[];
  /** The price's version, pinned for the request. */
  readonly priceId: string;
  readonly idempotency?: { readonly key: string; readonly bodySha256: string };
}

/** Raises an open hold. It names the new amount, not the step, so that a repetition cannot raise it twice. */
interface ExtendOperation {
  readonly kind: "extend";
  readonly id: string;
  readonly toNanos: bigint;
}

/** What would be charged if this process died now. */
interface CheckpointOperation {
  readonly kind: "checkpoint";
  readonly id: string;
  readonly seq: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly chargeNanos: bigint;
}

export interface SettleOperation {
  readonly kind: "settle";
  readonly id: string;
  /** What the price says; what is charged may be less, see `settle.ts`. */
  readonly costNanos: bigint;
  readonly basis: Basis;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly endReason: string;
}

interface VoidOperation {
  readonly kind: "void";
  readonly id: string;
  readonly endReason: string;
}

/** The exact cost that arrived after the hold had been closed. */
interface CorrectOperation {
  readonly kind: "correct";
  readonly id: string;
  readonly costNanos: bigint;
  /** Nothing was delivered after all: as after a void, the client may use its Idempotency-Key again. */
  readonly freesKey?: boolean;
}

interface OpenWalletOperation {
  readonly kind: "open_wallet";
  readonly accountId: string;
  readonly floorNanos: bigint;
}

interface SetWalletOperation {
  readonly kind: "set_wallet";
  readonly accountId: string;
  readonly floorNanos?: bigint;
  readonly status?: WalletStatus;
}

interface SetBudgetOperation {
  readonly kind: "set_budget";
  readonly id: string;
  readonly scope: string;
  readonly period: Period;
  readonly capNanos: bigint;
}

/** A grant or a top-up. The reference is unique in the whole ledger: the same one cannot credit twice. */
export interface CreditOperation {
  readonly kind: "credit";
  readonly accountId: string;
  readonly amountNanos: bigint;
  readonly lotKind: LotKind;
  readonly priority: number;
  readonly isRefundable: boolean;
  readonly expiresAtMs: number | null;
  readonly reference: string;
  readonly reason: string;
  readonly actor: string;
  /** The account is closed for good: only what came before is answered again. */
  readonly isClosed?: boolean;
}

/** An operator's decision or a charge-back: up or down, below the floor too. */
interface AdjustOperation {
  readonly kind: "adjust";
  readonly accountId: string;
  readonly deltaNanos: bigint;
  readonly reference: string;
  readonly reason: string;
  readonly actor: string;
  /** As for credit; down is possible all the same. */
  readonly isClosed?: boolean;
}

/** Takes credit out of the lot it was paid into, before the payment provider is asked to send the money back. */
interface ReserveRefundOperation {
  readonly kind: "reserve_refund";
  readonly id: string;
  readonly accountId: string;
  /** Of the top-up that is paid back. */
  readonly reference: string;
  readonly amountNanos: bigint;
  readonly actor: string;
}

interface FinishRefundOperation {
  readonly kind: "finish_refund";
  readonly id: string;
  readonly outcome: "done" | "failed";
}

/** Sweeps lots that have expired. Every operation on a wallet does so too; this is for wallets that rest. */
interface ExpireLotsOperation {
  readonly kind: "expire_lots";
  readonly accountId: string;
}

/**
 * Ends what a dead process left: its open holds are charged at their last checkpoint, and its epoch rises in the same
 * transaction, so that it can make no new ones. At boot a process recovers itself and gets its new epoch.
 */
interface RecoverOperation {
  readonly kind: "recover";
  readonly node: string;
}

/** A process says that it lives. */
interface RenewLeaseOperation {
  readonly kind: "renew_lease";
}

export type Operation =
  | HoldOperation
  | ExtendOperation
  | CheckpointOperation
  | SettleOperation
  | VoidOperation
  | CorrectOperation
  | OpenWalletOperation
  | SetWalletOperation
  | SetBudgetOperation
  | CreditOperation
  | AdjustOperation
  | ReserveRefundOperation
  | FinishRefundOperation
  | ExpireLotsOperation
  | RecoverOperation
  | RenewLeaseOperation;

/** Operations of one kind. */
export type OperationOf<K extends Operation["kind"]> = Extract<Operation, { readonly kind: K }>;

export type RefusalCode =
  | "insufficient_credits"
  | "budget_exceeded"
  | "budget_unknown"
  | "account_unknown"
  | "account_suspended"
  | "hold_exists"
  | "hold_unknown"
  | "not_open"
  | "not_closed"
  | "corrected_already"
  | "idempotency_in_progress"
  | "idempotency_mismatch"
  | "idempotency_finished"
  | "stale_epoch"
  | "lease_alive"
  | "reference_used"
  | "not_refundable"
  | "refund_unknown"
  | "invalid_amount"
  | "store_unavailable"
  | "store_failed";

export interface Balances {
  readonly accountId: string;
  readonly balanceNanos: bigint;
  readonly heldNanos: bigint;
  /** What another hold could still take. */
  readonly availableNanos: bigint;
}

/** A hold as its owner may see it. Corrections are counted in: it shows the net. */
export interface HoldOutcome {
  readonly id: string;
  readonly state: HoldState;
  readonly amountNanos: bigint;
  readonly chargedNanos: bigint | null;
  readonly writtenOffNanos: bigint;
  readonly basis: Basis | null;
}

export interface Done {
  readonly ok: true;
  /** The same was asked before; this is the first answer's result. */
  readonly isRepeat: boolean;
  readonly balances: Balances | null;
  readonly hold: HoldOutcome | null;
  /** Of a recovery: the node's epoch from now on, and the holds that were ended. */
  readonly recovery: { readonly epoch: number; readonly holds: readonly HoldOutcome[] } | null;
}

export interface Refused {
  readonly ok: false;
  readonly code: RefusalCode;
  /** What there was, where money was short. */
  readonly availableNanos?: bigint;
  /** The budget that is used up and when its next window begins; null means never. */
  readonly budget?: { readonly id: string; readonly resetsAtMs: number | null };
  /** The hold that stands in the way: of an idempotency key, or of the id itself. */
  readonly hold?: HoldOutcome;
  /** The store was lost on the way: it may have happened all the same. */
  readonly isUnknown?: boolean;
  /** A mistake of ours in this operation, see `assertions.ts`: nothing of it is stored, and asking again ends alike. */
  readonly isFault?: boolean;
  /** What the store said, for the log. */
  readonly reason?: string;
}

export type Result = Done | Refused;

/** Who asks and when. The time is the database's. */
export interface Clock {
  readonly nowMs: number;
  readonly node: string;
  readonly epoch: number;
  /** Until when a lease runs that is renewed now. */
  readonly leaseUntilMs: number;
}
