/** Operations with the parts filled in that a test does not speak of. */
import type { LedgerStore } from "../../src/ledger/ledger.ts";
import type { CreditOperation, Done, HoldOperation, Operation, Result, SettleOperation } from "../../src/ledger/operation.ts";
import { onlyResult, unitsOf } from "../../src/ledger/unit.ts";
import type { FencingToken } from "../../src/ledger/unit.ts";

/** Commits each operation as a unit of its own, all in one batch. */
export async function commitEach(
  store: Pick<LedgerStore<never>, "commit">,
  token: FencingToken,
  operations: readonly Operation[],
): Promise<Result[]> {
  return (await store.commit(token, unitsOf(operations))).map(onlyResult);
}

/** Noon of a Sunday in UTC: hours away from a new day, a day away from a new week. */
export const NOON = Date.UTC(2026, 10, 22, 12);
export const DAY_MS = 86_400_000;
/** What the orders of a process that is killed are for. */
export const ORDER_NANOS = 7n;

export function hold(id: string, amountNanos: bigint, more: Partial<HoldOperation> = {}): HoldOperation {
  return {
    kind: "hold",
    id,
    accountId: "acme",
    keyId: "key_1",
    model: "m",
    amountNanos,
    mode: "full",
    isMetered: true,
    budgetIds: [],
    priceId: "price_1",
    ...more,
  };
}

export function settle(id: string, costNanos: bigint, more: Partial<SettleOperation> = {}): SettleOperation {
  return { kind: "settle", id, costNanos, basis: "exact", inputTokens: 10, outputTokens: 20, endReason: "complete", ...more };
}

export function voided(id: string): Operation {
  return { kind: "void", id, endReason: "upstream_failed" };
}

export function credit(reference: string, amountNanos: bigint, more: Partial<CreditOperation> = {}): CreditOperation {
  return {
    kind: "credit",
    accountId: "acme",
    amountNanos,
    lotKind: "paid",
    priority: 100,
    isRefundable: (more.lotKind ?? "paid") === "paid",
    expiresAtMs: null,
    reference,
    reason: "test",
    actor: "test",
    ...more,
  };
}

/** Promotions are used before what was paid. */
export function promo(reference: string, amountNanos: bigint, more: Partial<CreditOperation> = {}): CreditOperation {
  return credit(reference, amountNanos, { lotKind: "promo", priority: 10, ...more });
}

/** The result of an operation that must have been done. */
export function must(result: Result | undefined): Done {
  if (result?.ok !== true)
    throw new Error(`refused: ${JSON.stringify(result, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value))}`);
  return result;
}

/** What a result says in short: `ok`, `repeat`, or the code of the refusal. */
export function word(result: Result | undefined): string {
  if (result === undefined) return "missing";
  if (!result.ok) return result.code;
  return result.isRepeat ? "repeat" : "ok";
}
