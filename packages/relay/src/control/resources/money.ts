/** Money of accounts that pay: what they have, what came in, what moved. */
import { money, moneyOrNull } from "@millrace/wire/money-json";
import { isoOf } from "../../basics/iso-time.ts";
import { parseUsd } from "@millrace/wire/money";
import * as z from "zod";
import { readBalance, shownBalance } from "../../ledger/balance.ts";
import type { LedgerPort } from "../../ledger/balance.ts";
import type { Balances } from "../../ledger/operation.ts";
import type { Lot, Transfer } from "../../ledger/state.ts";
import type { Accounts } from "./accounts.ts";
import type { Caller } from "../access/caller.ts";
import type { Changes } from "../changes.ts";
import { MOMENT, pageOf, SEQ, sliceOf } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import type { ControlStore } from "../ports.ts";
import { Refusal } from "../http/refusal.ts";
import { instant, moneyOrNullShape, moneyShape, signedUsd, time, usd } from "../http/shapes.ts";

/** The ledger uses granted credit before paid credit (100). */
const GRANT_PRIORITY = 50;

const reason = z.string().trim().min(1).max(500);
const reference = z.string().trim().min(1).max(200);

export const Grant = z.strictObject({ amount: usd, reason, reference, expires_at: instant.nullable().default(null) });
export const Adjustment = z.strictObject({ amount: signedUsd, reason, reference });
export const StatementQuery = z.strictObject({ from: instant.optional(), to: instant.optional() });

export const BalanceShape = z.strictObject({
  account_id: z.string(),
  currency: z.literal("USD"),
  ...moneyShape("balance"),
  ...moneyShape("held"),
  ...moneyShape("available"),
});

export const LotShape = z.strictObject({
  id: z.string(),
  kind: z.enum(["paid", "promo", "comp"]),
  reference: z.string(),
  ...moneyShape("amount"),
  ...moneyShape("remaining"),
  refundable: z.boolean(),
  created_at: time,
  expires_at: time.nullable(),
});

export const TransferShape = z.strictObject({
  id: z.string(),
  seq: z.number().nullable(),
  code: z.string(),
  ...moneyShape("amount"),
  ...moneyOrNullShape("balance_after"),
  request_id: z.string().nullable(),
  reason: z.string().nullable(),
  actor: z.string().nullable(),
  created_at: time,
});

export const StatementShape = z.strictObject({
  account_id: z.string(),
  currency: z.literal("USD"),
  from: time,
  to: time,
  ...moneyShape("opening"),
  by_code: z.array(z.strictObject({ code: z.string(), ...moneyShape("amount") })),
  ...moneyShape("closing"),
  /** What requests cost beyond the balance. Nobody pays it, and no other figure includes it. */
  ...moneyShape("written_off"),
});

type BalanceView = z.output<typeof BalanceShape>;

export interface MoneyParts {
  readonly ledger: LedgerPort;
  readonly store: Pick<ControlStore, "lots" | "transfers" | "statement">;
  readonly accounts: Accounts;
  readonly changes: Changes;
}

export class Money {
  readonly #parts: MoneyParts;

  constructor(parts: MoneyParts) {
    this.#parts = parts;
  }

  async balance(caller: Caller, id: string): Promise<BalanceView> {
    const account = this.#parts.accounts.find(caller, id);
    const balance = await readBalance(this.#parts.ledger, account.id);
    if (balance === null) throw new Refusal("invalid_request", "This account is not metered: it has no balance.");
    if (balance === "store_unavailable") throw new Refusal("store_unavailable", "The ledger does not answer.");
    return { ...balance };
  }

  /** Gives credit. The reference makes it repeatable: the same request again changes nothing and gets the same answer. */
  async grant(caller: Caller, id: string, wish: z.output<typeof Grant>): Promise<BalanceView> {
    const { amountNanos, isClosed } = this.#payable(caller, id, wish.amount);
    const { reason: why, reference: own, expires_at: expiresAtMs } = wish;
    const after = { account_id: id, ...money("amount", amountNanos), reason: why, reference: own, expires_at: isoOf(expiresAtMs) };
    const note = { action: "credit.grant", target: id, before: null, after };
    const { balances } = await this.#parts.changes.ask(caller, note, {
      kind: "credit",
      accountId: id,
      amountNanos,
      lotKind: "comp",
      priority: GRANT_PRIORITY,
      isRefundable: false,
      expiresAtMs,
      reference: own,
      reason: why,
      actor: caller.actor,
      isClosed,
    });
    return shown(balances);
  }

  /** Moves a balance up or down by hand. It may go below zero. */
  async adjust(caller: Caller, id: string, wish: z.output<typeof Adjustment>): Promise<BalanceView> {
    const { amountNanos: deltaNanos, isClosed } = this.#payable(caller, id, wish.amount);
    const { reason: why, reference: own } = wish;
    const after = { account_id: id, ...money("amount", deltaNanos), reason: why, reference: own };
    const note = { action: "credit.adjust", target: id, before: null, after };
    const operation = { kind: "adjust", accountId: id, deltaNanos, reference: own, reason: why, actor: caller.actor, isClosed } as const;
    const { balances } = await this.#parts.changes.ask(caller, note, operation);
    return shown(balances);
  }

  async lots(caller: Caller, id: string, wish: PageQuery): Promise<Page<z.output<typeof LotShape>>> {
    const { id: accountId } = this.#parts.accounts.find(caller, id);
    const rows = await this.#parts.store.lots({ accountId, ...sliceOf(wish, MOMENT) });
    return pageOf(rows, wish, MOMENT, (lot) => ({ atMs: lot.createdAtMs, id: lot.id }), shownLot);
  }

  async transfers(caller: Caller, id: string, wish: PageQuery): Promise<Page<z.output<typeof TransferShape>>> {
    const { id: accountId } = this.#parts.accounts.find(caller, id);
    const rows = await this.#parts.store.transfers({ accountId, ...sliceOf(wish, SEQ) });
    return pageOf(rows, wish, SEQ, (transfer) => transfer.walletSeq ?? 0, shownTransfer);
  }

  /** Of this month (UTC) unless said otherwise. */
  async statement(caller: Caller, id: string, wish: z.output<typeof StatementQuery>): Promise<z.output<typeof StatementShape>> {
    const { id: accountId } = this.#parts.accounts.find(caller, id);
    const now = new Date();
    const toMs = wish.to ?? now.getTime();
    const fromMs = wish.from ?? Date.UTC(now.getUTCFullYear(), now.getUTCMonth());
    if (fromMs >= toMs) throw new Refusal("invalid_request", "A statement must begin before it ends.");
    const { openingNanos, byCode, closingNanos, writtenOffNanos } = await this.#parts.store.statement(accountId, fromMs, toMs);
    return {
      account_id: accountId,
      currency: "USD",
      from: isoOf(fromMs),
      to: isoOf(toMs),
      ...money("opening", openingNanos),
      by_code: [...byCode].map(([code, amount]) => ({ code, ...money("amount", amount) })),
      ...money("closing", closingNanos),
      ...money("written_off", writtenOffNanos),
    };
  }

  #payable(caller: Caller, id: string, amount: string): { readonly amountNanos: bigint; readonly isClosed: boolean } {
    const account = this.#parts.accounts.find(caller, id);
    if (!account.isMetered) throw new Refusal("invalid_request", "This account is not metered: it needs no credit.");
    const read = parseUsd(amount);
    if ("fault" in read) throw new Refusal("invalid_request", `The amount ${read.fault}.`);
    if (read.value === 0n) throw new Refusal("invalid_request", "The amount must not be 0.");
    return { amountNanos: read.value, isClosed: account.status === "closed" };
  }
}

function shown(balances: Balances | null): BalanceView {
  if (balances === null) throw new TypeError("the ledger changed a wallet and did not say what is in it");
  return { ...shownBalance(balances) };
}

function shownLot(lot: Lot): z.output<typeof LotShape> {
  return {
    id: lot.id,
    kind: lot.kind,
    reference: lot.reference,
    ...money("amount", lot.amountNanos),
    ...money("remaining", lot.remainingNanos),
    refundable: lot.isRefundable,
    created_at: isoOf(lot.createdAtMs),
    expires_at: isoOf(lot.expiresAtMs),
  };
}

/** Gains are positive, losses negative; a transfer that touches no wallet shows its size. */
export function shownTransfer(transfer: Transfer): z.output<typeof TransferShape> {
  const isLoss = transfer.walletId !== null && transfer.debit === transfer.walletId;
  return {
    id: transfer.id,
    seq: transfer.walletSeq,
    code: transfer.code,
    ...money("amount", isLoss ? -transfer.amountNanos : transfer.amountNanos),
    ...moneyOrNull("balance_after", transfer.balanceAfterNanos),
    request_id: transfer.holdId,
    reason: transfer.reason,
    actor: transfer.actor,
    created_at: isoOf(transfer.createdAtMs),
  };
}
