/** The ledger's tables, property by property. */
import type {
  Budget,
  BudgetWindow,
  Correction,
  Hold,
  Idempotency,
  LedgerNode,
  Lot,
  LotMove,
  Refund,
  Transfer,
  Wallet,
} from "../../ledger/state.ts";
import { shapeOf } from "../sql/shape.ts";

export const WALLETS = shapeOf<Wallet>("wallets", {
  id: ["id", "text"],
  accountId: ["account_id", "text"],
  balanceNanos: ["balance", "nanos"],
  heldNanos: ["held", "nanos"],
  floorNanos: ["floor", "nanos"],
  status: ["status", "text"],
  seq: ["seq", "count"],
  holdCount: ["hold_count", "count"],
});

export const LOTS = shapeOf<Lot>("lots", {
  id: ["id", "text"],
  walletId: ["wallet_id", "text"],
  kind: ["kind", "text"],
  reference: ["reference", "text"],
  amountNanos: ["amount", "nanos"],
  remainingNanos: ["remaining", "nanos"],
  isUsedUp: ["used_up", "flag"],
  priority: ["priority", "count"],
  isRefundable: ["refundable", "flag"],
  expiresAtMs: ["expires_at", "count"],
  expiredAfterHold: ["expired_after_hold", "count"],
  createdAtMs: ["created_at", "count"],
});

export const BUDGETS = shapeOf<Budget>("budgets", {
  id: ["id", "text"],
  scope: ["scope", "text"],
  period: ["period", "text"],
  capNanos: ["cap", "nanos"],
});

export const WINDOWS = shapeOf<BudgetWindow>("budget_windows", {
  id: ["id", "text"],
  budgetId: ["budget_id", "text"],
  startMs: ["starts_at", "count"],
  spentNanos: ["spent", "nanos"],
  heldNanos: ["held", "nanos"],
});

/** The hold without its windows, which are rows of `hold_budgets`. */
export type HoldRow = Omit<Hold, "windowIds">;

export const HOLDS = shapeOf<HoldRow>("holds", {
  id: ["id", "text"],
  accountId: ["account_id", "text"],
  walletId: ["wallet_id", "text"],
  keyId: ["key_id", "text"],
  model: ["model", "text"],
  mode: ["mode", "text"],
  priceId: ["price_id", "text"],
  node: ["node", "text"],
  epoch: ["epoch", "count"],
  idempotencyKey: ["idem_key", "text"],
  createdAtMs: ["created_at", "count"],
  ordinal: ["ordinal", "count"],
  amountNanos: ["amount", "nanos"],
  state: ["state", "text"],
  checkpointSeq: ["checkpoint_seq", "count"],
  checkpointNanos: ["checkpoint_charge", "nanos"],
  inputTokens: ["input_tokens", "count"],
  outputTokens: ["output_tokens", "count"],
  chargedNanos: ["charged", "nanos"],
  basis: ["basis", "text"],
  endReason: ["end_reason", "text"],
  closedAtMs: ["closed_at", "count"],
  writtenOffNanos: ["written_off", "nanos"],
});

export const TRANSFERS = shapeOf<Transfer>("transfers", {
  id: ["id", "text"],
  cause: ["cause", "text"],
  debit: ["debit", "text"],
  credit: ["credit", "text"],
  amountNanos: ["amount", "nanos"],
  code: ["code", "text"],
  walletId: ["wallet_id", "text"],
  walletSeq: ["wallet_seq", "count"],
  balanceAfterNanos: ["balance_after", "nanos"],
  holdId: ["hold_id", "text"],
  reason: ["reason", "text"],
  actor: ["actor", "text"],
  createdAtMs: ["created_at", "count"],
});

export const LOT_MOVES = shapeOf<LotMove>("lot_moves", {
  transferId: ["transfer_id", "text"],
  lotId: ["lot_id", "text"],
  deltaNanos: ["delta", "nanos"],
});

export const CORRECTIONS = shapeOf<Correction>("corrections", {
  id: ["hold_id", "text"],
  costNanos: ["cost", "nanos"],
  deltaNanos: ["delta", "nanos"],
  writtenOffNanos: ["written_off", "nanos"],
  createdAtMs: ["created_at", "count"],
});

export const REFUNDS = shapeOf<Refund>("refunds", {
  id: ["id", "text"],
  lotId: ["lot_id", "text"],
  walletId: ["wallet_id", "text"],
  amountNanos: ["amount", "nanos"],
  state: ["state", "text"],
  actor: ["actor", "text"],
  createdAtMs: ["created_at", "count"],
  closedAtMs: ["closed_at", "count"],
});

/** What an Idempotency-Key's row holds; its id and its hold's state are found when it is loaded. */
export type IdempotencyRow = Omit<Idempotency, "id" | "holdState">;

export const IDEMPOTENCY = shapeOf<IdempotencyRow>("idempotency_keys", {
  accountId: ["account_id", "text"],
  key: ["idem_key", "text"],
  holdId: ["hold_id", "text"],
  bodySha256: ["body_sha256", "text"],
  createdAtMs: ["created_at", "count"],
});

export const NODES = shapeOf<LedgerNode>("nodes", {
  id: ["id", "text"],
  epoch: ["epoch", "count"],
  leaseUntilMs: ["lease_until", "count"],
});
