import { describe, expect, test } from "vitest";
import { applyBatch } from "../../src/ledger/apply-batch.ts";
import { assertArguments, assertDecision, CLAIMS } from "../../src/ledger/assertions.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import type { Clock, Operation, Result } from "../../src/ledger/operation.ts";
import { done, refuse } from "../../src/ledger/results.ts";
import type { Hold, Lot, Wallet } from "../../src/ledger/state.ts";
import { UnitOfWork } from "../../src/ledger/unit-of-work.ts";
import { MemoryLedger } from "./memory-ledger.ts";
import { credit, hold, must, NOON, settle, voided, word } from "./operations.ts";
import { SEAT, storeOf, STORES, withCredit } from "./stores.ts";

type Claim = (typeof CLAIMS)[number];

const CLOCK: Clock = { nowMs: NOON, node: "node_1", epoch: 1, leaseUntilMs: NOON + 60_000 };
const EARLIER: readonly Operation[] = [
  { kind: "recover", node: "node_1" },
  { kind: "open_wallet", accountId: "acme", floorNanos: 0n },
  { kind: "set_budget", id: "b", scope: "key", period: "total", capNanos: 500n },
  credit("top-up", 1_000n),
  hold("open", 100n, { budgetIds: ["b"] }),
  hold("closed", 100n),
  settle("closed", 40n),
  { kind: "reserve_refund", id: "sent", accountId: "acme", reference: "top-up", amountNanos: 10n, actor: "test" },
  { kind: "finish_refund", id: "sent", outcome: "done" },
];

/** The rows that a wrong decision changes. */
class Books {
  readonly draft: UnitOfWork;

  constructor() {
    const ledger = new MemoryLedger();
    for (const result of ledger.commit(CLOCK, EARLIER)) must(result);
    this.draft = new UnitOfWork(ledger.state);
    this.draft.beginDecision();
  }

  get wallet(): Wallet {
    return found(this.draft.wallets.get("wallet:acme"));
  }
  get lot(): Lot {
    return found(this.draft.lots.get("lot:top-up"));
  }
  get open(): Hold {
    return found(this.draft.holds.get("open"));
  }
  get closed(): Hold {
    return found(this.draft.holds.get("closed"));
  }

  /** A charge of the open hold with its transfer, and nothing else that belongs to it. */
  end(state: Hold["state"], chargedNanos: bigint, writtenOffNanos = 0n): void {
    Object.assign(this.open, { state, chargedNanos, writtenOffNanos, basis: "exact", endReason: "complete", closedAtMs: NOON });
    this.wallet.heldNanos -= this.open.amountNanos;
    const window = found(this.draft.windows.get("b@0"));
    window.heldNanos -= this.open.amountNanos;
    window.spentNanos += chargedNanos;
    if (chargedNanos > 0n) this.pay("settle:open", -chargedNanos);
  }

  pay(id: string, deltaNanos: bigint): void {
    this.draft.transfer(this.wallet, deltaNanos, { id, cause: id, code: "usage", counterpart: "revenue", createdAtMs: NOON });
    this.draft.moveLot(this.lot, deltaNanos, id);
  }
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new Error("the row is there");
  return row;
}

const DONE = done(null);

interface Plant {
  readonly operation?: Operation;
  readonly result?: Result;
  readonly decide: (books: Books) => void;
}

const SETTLE = settle("open", 40n);

/** One wrong decision for each claim about what a decision makes. */
const PLANTS: Partial<Record<Claim, Plant>> = {
  "a lot has between nothing and all of its amount left": { decide: (books) => books.draft.moveLot(books.lot, -2_000n, "t") },
  "what is left of a lot is what was and its moves": { decide: (books) => (books.lot.remainingNanos -= 1n) },
  "a lot is used up when nothing is left": {
    decide: (books) => {
      books.draft.moveLot(books.lot, -1n, "t");
      books.lot.isUsedUp = true;
    },
  },
  "a lot expires once": {
    decide: (books) => {
      books.lot.expiredAfterHold = 1;
      books.draft.beginDecision();
      books.lot.expiredAfterHold = 2;
    },
  },
  "a transfer notes the balance after it": {
    decide: (books) => {
      books.pay("t", -1n);
      const paid = found(books.draft.transfers.get("t"));
      books.draft.transfers.add({ ...paid, balanceAfterNanos: 7n });
    },
  },
  "a transfer moves something somewhere": { decide: (books) => books.pay("t", 0n) },
  "the balance is the sum of the transfers": { decide: (books) => (books.wallet.balanceNanos += 1n) },
  "a wallet's transfers are numbered without gaps": { decide: (books) => (books.wallet.seq += 1) },
  "what is held is the sum of the open holds": { decide: (books) => (books.wallet.heldNanos += 1n) },
  "no less than nothing is held": {
    decide: (books) => {
      books.wallet.heldNanos = 0n;
      books.draft.beginDecision();
      books.end("voided", 0n);
    },
  },
  "the count of holds never falls": { decide: (books) => (books.wallet.holdCount -= 1) },
  "no balance is without a lot": {
    decide: (books) => {
      books.pay("t", -1n);
      books.draft.moveLot(books.lot, -100n, "t");
    },
  },
  "a hold that has ended stays as it is": { decide: (books) => (books.closed.chargedNanos = 41n) },
  "a hold is never lowered": {
    decide: (books) => {
      books.open.amountNanos -= 1n;
      books.wallet.heldNanos -= 1n;
    },
  },
  "a checkpoint never gives way to an older one": {
    decide: (books) => {
      books.open.checkpointSeq = 2;
      books.draft.beginDecision();
      books.open.checkpointSeq = 1;
    },
  },
  "a hold ends whole": { decide: (books) => (books.open.chargedNanos = 0n) },
  "no less than nothing is charged or written off": { decide: (books) => books.end("settled", 40n, -1n) },
  "a void hold costs nothing": { decide: (books) => books.end("voided", 1n) },
  "a recovered hold costs its checkpoint at most, and no more than was set aside": { decide: (books) => books.end("recovered", 1n) },
  "a hold's transfers add up to what it charged": {
    decide: (books) => {
      books.end("settled", 40n);
      books.open.chargedNanos = 41n;
    },
  },
  "a budget's window holds the sum of its open holds": {
    decide: (books) => (found(books.draft.windows.get("b@0")).heldNanos -= 1n),
  },
  "a budget's window spent what its holds were charged": {
    decide: (books) => (found(books.draft.windows.get("b@0")).spentNanos += 1n),
  },
  "an epoch rises by one or stays": { decide: (books) => (found(books.draft.nodes.get("node_1")).epoch -= 1) },
  "a refund ends once": { decide: (books) => (found(books.draft.refunds.get("sent")).state = "failed") },
  "a correction leaves no charge below nothing": {
    decide: (books) =>
      books.draft.corrections.add({ id: "closed", costNanos: 0n, deltaNanos: -41n, writtenOffNanos: 1n, createdAtMs: NOON }),
  },
  "what is charged and written off after a correction is its cost": {
    decide: (books) =>
      books.draft.corrections.add({ id: "closed", costNanos: 30n, deltaNanos: 0n, writtenOffNanos: 0n, createdAtMs: NOON }),
  },
  "a refused or repeated operation changes no hold": {
    result: refuse("not_open"),
    decide: (books) => (books.open.checkpointSeq = 9),
  },
  "a refused or repeated operation moves nothing": { result: done(null, null, true), decide: (books) => books.pay("t", -1n) },
  "a hold leaves the wallet at its floor or above": {
    operation: hold("open", 100n),
    decide: (books) => (books.wallet.floorNanos = 1_000n),
  },
  "a hold leaves each budget at its cap or below": {
    operation: hold("open", 100n),
    decide: (books) => (found(books.draft.budgets.get("b")).capNanos = 1n),
  },
  "charged and written off make the cost": { operation: SETTLE, decide: (books) => books.end("settled", 39n) },
  "a charge leaves what other holds set aside, and the floor": {
    operation: SETTLE,
    decide: (books) => {
      books.end("settled", 40n);
      books.wallet.floorNanos = 1_000n;
    },
  },
};

/** What nobody may ask. */
const MISTAKEN: Partial<Record<Claim, readonly [Operation, Partial<Clock>?]>> = {
  "a clock tells whole numbers": [SETTLE, { nowMs: 0.5 }],
  "an id is not empty": [settle("", 1n)],
  "an account's id is not empty": [hold("h", 1n, { accountId: "" })],
  "a reference is not empty": [credit("", 1n)],
  "tokens are whole numbers": [settle("open", 1n, { outputTokens: Number.NaN })],
  "a checkpoint's number is whole": [{ kind: "checkpoint", id: "open", seq: 0.5, inputTokens: 0, outputTokens: 0, chargeNanos: 0n }],
};

describe("what is claimed of each decision", () => {
  test("has a planted fault each", () => {
    expect([...Object.keys(PLANTS), ...Object.keys(MISTAKEN)].toSorted()).toEqual([...CLAIMS].toSorted());
  });

  test("holds of a decision that changes nothing", () => {
    const { draft } = new Books();
    for (const operation of EARLIER) expect(() => assertArguments(operation, CLOCK)).not.toThrow();
    expect(() => assertDecision({ operation: SETTLE, result: refuse("not_open"), draft })).not.toThrow();
  });

  test.each(Object.entries(PLANTS))("finds a decision of which it is not true that %s", (words, { operation, result, decide }) => {
    const books = new Books();
    decide(books);
    const decision = { operation: operation ?? voided("open"), result: result ?? DONE, draft: books.draft };
    expect(() => assertDecision(decision)).toThrow(words);
  });

  test.each(Object.entries(MISTAKEN))("finds a question of which it is not true that %s", (words, [operation, clock]) => {
    expect(() => assertArguments(operation, { ...CLOCK, ...clock })).toThrow(words);
  });
});

describe("a fault", () => {
  test("is refused by itself: what was asked before and after it in the batch is decided as if it had not been asked", () => {
    const ledger = new MemoryLedger();
    for (const result of ledger.commit(CLOCK, EARLIER)) must(result);
    const sound = [hold("a", 1n), settle("open", 10n)];
    const { results, changes } = applyBatch(ledger.state, [hold("a", 1n), settle("", 1n), settle("open", 10n)], CLOCK);
    expect(results.map(word)).toEqual(["ok", "store_failed", "ok"]);
    expect(results[1]).toMatchObject({ isFault: true, reason: "a fault in the decision of settle: an id is not empty (settle)" });
    expect(changes).toEqual(applyBatch(ledger.state, sound, CLOCK).changes);
  });

  test("of any other kind is one too, and its reason says where it was thrown", () => {
    const state = { ...new MemoryLedger().state, holds: unreadable() };
    const [result] = applyBatch(state, [settle("h", 1n)], CLOCK).results;
    expect(result).toMatchObject({ isFault: true, reason: expect.stringContaining("decideSettle") as string });
  });

  test("in more than eight operations refuses the batch, for the store to halve", () => {
    const many = Array.from({ length: 9 }, () => settle("", 1n));
    expect(() => applyBatch(new MemoryLedger().state, many, CLOCK)).toThrow("an id is not empty");
    expect(applyBatch(new MemoryLedger().state, many.slice(1), CLOCK).results.map(word)).toEqual(Array(8).fill("store_failed"));
  });

  test.each(Object.entries(STORES))("%s: nothing of it is stored, the others are, and the log is told once", async (_name, open) => {
    const store = await open();
    await withCredit(store, 1_000n);
    const told: string[] = [];
    const ledger = await Ledger.open(storeOf(store), { node: SEAT.node, leaseMs: 10 ** 13, onTrouble: (message) => told.push(message) });
    const asked = [hold("a", 10n), settle("a", 5n, { inputTokens: -1 }), hold("b", 10n)].map((operation) => ledger.ask(operation));
    expect((await Promise.all(asked)).map(word)).toEqual(["ok", "store_failed", "ok"]);
    expect(told).toEqual(["the ledger: a fault in the decision of settle: tokens are whole numbers (a)"]);
    expect(must(await ledger.ask(settle("a", 5n))).balances).toMatchObject({ balanceNanos: 995n, heldNanos: 10n });
    expect(await store.audit()).toEqual([]);
    await ledger.close();
    await store.close();
  });
});

function unreadable(): ReadonlyMap<string, Hold> {
  return {
    get: () => {
      throw new TypeError("no row can be read");
    },
    values: () => [].values(),
  } as unknown as ReadonlyMap<string, Hold>;
}
