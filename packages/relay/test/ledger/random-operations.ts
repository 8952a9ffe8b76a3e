/** Random operations: intents drawn by fast-check, made concrete against what the ledger holds by then. */
import fc from "fast-check";
import type { Operation } from "../../src/ledger/operation.ts";
import type { Hold, LedgerState } from "../../src/ledger/state.ts";
import { credit, DAY_MS, hold, settle } from "./operations.ts";

/** Numbers without meaning; {@link operationOf} gives them one. Shrinking leaves out intents and lowers numbers. */
export interface Intent {
  readonly kind: (typeof KINDS)[number];
  readonly pick: number;
  readonly amount: number;
  readonly more: number;
  readonly stepMs: number;
}

const KINDS = [
  "hold",
  "settle",
  "void",
  "extend",
  "checkpoint",
  "credit",
  "correct",
  "adjust",
  "reserve_refund",
  "finish_refund",
  "expire_lots",
  "recover",
  "set_wallet",
  "set_budget",
  "renew_lease",
  "repeat",
] as const;

const WEIGHTS: Readonly<Record<Intent["kind"], number>> = {
  hold: 34,
  settle: 20,
  void: 5,
  extend: 6,
  checkpoint: 6,
  credit: 8,
  correct: 4,
  adjust: 1,
  reserve_refund: 2,
  finish_refund: 2,
  expire_lots: 2,
  recover: 1,
  set_wallet: 1,
  set_budget: 1,
  renew_lease: 1,
  repeat: 5,
};

const kinds = fc.oneof(...KINDS.map((kind) => ({ arbitrary: fc.constant(kind), weight: WEIGHTS[kind] })));
/** Mostly the same instant or milliseconds, now and then hours, sometimes an hour back. */
const steps = fc.oneof(
  { arbitrary: fc.constant(0), weight: 10 },
  { arbitrary: fc.integer({ min: 0, max: 50 }), weight: 10 },
  { arbitrary: fc.integer({ min: 0, max: DAY_MS / 4 }), weight: 1 },
  { arbitrary: fc.constant(-3_600_000), weight: 0.2 * 5 },
);

export const intents: fc.Arbitrary<Intent> = fc.record({
  kind: kinds,
  pick: fc.nat(1_000_000),
  amount: fc.nat(1_000),
  more: fc.nat(1_000_000),
  stepMs: steps,
});

/** `owing` may go below zero by 50; `adjusted` is the one whose balance an operator changes; `free` is not metered. */
const ACCOUNTS = ["plain", "owing", "adjusted", "free"] as const;
const METERED = ["plain", "owing", "adjusted"] as const;
const BUDGETS = ["b-day", "b-week", "b-month", "b-total"] as const;
const PERIODS = ["day", "week", "month", "total"] as const;

export const FIRST: readonly Operation[] = [
  { kind: "recover", node: "node_1" },
  ...METERED.map((accountId): Operation => ({ kind: "open_wallet", accountId, floorNanos: accountId === "owing" ? -50n : 0n })),
  ...BUDGETS.map((id, at): Operation => ({ kind: "set_budget", id, scope: "key", period: PERIODS[at] ?? "day", capNanos: 20_000n })),
];

function pickOf<T>(items: readonly T[], pick: number): T | undefined {
  return items.length === 0 ? undefined : items[pick % items.length];
}

/** A hold to do something with: an open one mostly, sometimes one long closed. */
function someHold(state: LedgerState, intent: Intent): Readonly<Hold> | undefined {
  const all = [...state.holds.values()];
  const open = all.filter((each) => each.state === "open");
  return intent.more % 8 === 0 ? pickOf(all, intent.pick) : pickOf(open, intent.pick);
}

/** What is asked now; null when there is nothing it could be asked of. */
export function operationOf(intent: Intent, n: number, state: LedgerState, nowMs: number, asked: readonly Operation[]): Operation | null {
  const amount = BigInt(intent.amount);
  const id = someHold(state, intent)?.id ?? "req_none";
  const accountId = pickOf(METERED, intent.pick) ?? "plain";
  switch (intent.kind) {
    case "hold":
      return randomHold(intent, n);
    case "settle":
      return settle(id, (amount * BigInt(1 + (intent.more % 3))) / 2n, { basis: intent.more % 2 === 0 ? "exact" : "estimated" });
    case "void":
      return { kind: "void", id, endReason: "upstream_failed" };
    case "extend":
      return { kind: "extend", id, toNanos: (state.holds.get(id)?.amountNanos ?? 0n) + amount / 4n };
    case "checkpoint":
      return { kind: "checkpoint", id, seq: intent.more % 20, inputTokens: 1, outputTokens: intent.amount, chargeNanos: amount };
    case "credit":
      return randomCredit(intent, n, accountId, nowMs);
    case "correct": {
      const closed = [...state.holds.values()].filter((each) => each.state === "settled" || each.state === "recovered");
      return { kind: "correct", id: pickOf(closed, intent.pick)?.id ?? id, costNanos: amount, freesKey: intent.more % 2 === 0 };
    }
    case "adjust":
      return { kind: "adjust", accountId: "adjusted", deltaNanos: amount - 500n, reference: `a${n}`, reason: "test", actor: "test" };
    case "reserve_refund": {
      const lot = pickOf([...state.lots.values()], intent.pick);
      if (lot === undefined) return null;
      const owner = state.wallets.get(lot.walletId)?.accountId ?? "plain";
      return { kind: "reserve_refund", id: `f${n}`, accountId: owner, reference: lot.reference, amountNanos: amount / 4n, actor: "test" };
    }
    case "finish_refund": {
      const refund = pickOf([...state.refunds.values()], intent.pick);
      return refund === undefined ? null : { kind: "finish_refund", id: refund.id, outcome: intent.more % 2 === 0 ? "done" : "failed" };
    }
    case "expire_lots":
      return { kind: "expire_lots", accountId };
    case "recover":
      return { kind: "recover", node: "node_1" };
    case "set_wallet":
      return { kind: "set_wallet", accountId, status: intent.more % 3 === 0 ? "frozen" : "active" };
    case "set_budget":
      return randomBudget(intent);
    case "renew_lease":
      return { kind: "renew_lease" };
    case "repeat":
      return pickOf(asked, intent.pick) ?? null;
  }
}

function randomHold(intent: Intent, n: number): Operation {
  const accountId = pickOf(ACCOUNTS, intent.pick) ?? "plain";
  const budgetIds = BUDGETS.filter((_, at) => ((intent.more >> at) & 3) === 0);
  return hold(`req_${n}`, BigInt(intent.amount), {
    accountId,
    isMetered: accountId !== "free",
    budgetIds,
    mode: intent.more % 2 === 0 ? "full" : "sliding",
    ...(intent.more % 5 === 0 ? { idempotency: { key: `k${intent.more % 40}`, bodySha256: `sha${intent.pick % 2}` } } : {}),
  });
}

function randomCredit(intent: Intent, n: number, accountId: string, nowMs: number): Operation {
  const lotKind = (["paid", "promo", "comp", "paid"] as const)[intent.more % 4] ?? "paid";
  const livesMs = [null, 40, 3_600_000, DAY_MS][(intent.more >> 3) % 4] ?? null;
  return credit(`c${n}`, BigInt(intent.amount) * 4n, {
    accountId,
    lotKind,
    priority: lotKind === "paid" ? 100 : 10 * ((intent.more >> 5) % 12),
    expiresAtMs: livesMs === null ? null : nowMs + livesMs,
  });
}

function randomBudget(intent: Intent): Operation {
  const at = intent.pick % BUDGETS.length;
  const period = PERIODS[at] ?? "day";
  // The total never starts anew; without more room it would soon refuse everything.
  const capNanos = period === "total" ? BigInt(intent.more) : BigInt(intent.amount * 50);
  return { kind: "set_budget", id: BUDGETS[at] ?? "b-day", scope: "key", period, capNanos };
}
