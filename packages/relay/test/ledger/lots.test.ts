import { afterEach, describe, expect, test } from "vitest";
import { credit, DAY_MS, hold, must, NOON, promo, settle, voided, word } from "./operations.ts";
import { STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let ledger: TestLedger;
  afterEach(async () => {
    expect(await ledger.audit()).toEqual([]);
    await ledger.close();
  });

  test("promotions are used before what was paid, and so can be told from revenue", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.commit([promo("welcome", 100n), hold("r1", 150n), settle("r1", 150n)]);
    expect(word(await ledger.one(refund("f1", 951n)))).toBe("not_refundable");
    const rows = await ledger.query?.("SELECT id, code, amount FROM transfers WHERE hold_id = 'r1' ORDER BY id");
    expect(rows ?? EXPECTED).toEqual(EXPECTED);
  });

  test("among equals the lot that expires first is used first", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    await ledger.commit([
      credit("late", 100n, { expiresAtMs: NOON + 2 * DAY_MS }),
      credit("soon", 100n, { expiresAtMs: NOON + DAY_MS }),
      hold("r1", 100n),
      settle("r1", 100n),
    ]);
    ledger.nowMs = NOON + DAY_MS;
    expect(must(await ledger.one({ kind: "expire_lots", accountId: "acme" })).balances?.balanceNanos).toBe(100n);
  });

  test("what expires leaves the wallet, and no new hold can use it", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    await ledger.one(promo("welcome", 100n, { expiresAtMs: NOON + 1_000 }));
    ledger.nowMs = NOON + 1_000;
    expect(await ledger.one(hold("r1", 1n))).toEqual({ ok: false, code: "insufficient_credits", availableNanos: 0n });
  });

  test("a lot that expires while an older hold is open stays for it, and its rest is forfeited", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    await ledger.commit([promo("welcome", 100n, { expiresAtMs: NOON + 1_000 }), hold("r1", 60n)]);
    ledger.nowMs = NOON + 5_000;
    expect(must(await ledger.one({ kind: "expire_lots", accountId: "acme" })).balances).toMatchObject({
      balanceNanos: 60n,
      heldNanos: 60n,
    });
    expect(word(await ledger.one(hold("r2", 1n)))).toBe("insufficient_credits");
    const settled = must(await ledger.one(settle("r1", 40n)));
    expect([settled.hold?.chargedNanos, settled.balances?.balanceNanos]).toEqual([40n, 0n]);
  });

  test("two lots that expire under one hold keep no more than the hold between them", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    const expiresAtMs = NOON + 1_000;
    await ledger.commit([promo("p1", 100n, { expiresAtMs }), promo("p2", 100n, { expiresAtMs: expiresAtMs + 1 }), hold("r1", 120n)]);
    ledger.nowMs = NOON + 5_000;
    expect(must(await ledger.one({ kind: "expire_lots", accountId: "acme" })).balances?.balanceNanos).toBe(120n);
    expect(must(await ledger.one(voided("r1"))).balances?.balanceNanos).toBe(0n);
  });

  test("a clock that is set back does not wake an expired lot for new holds", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    await ledger.commit([promo("welcome", 100n, { expiresAtMs: NOON + 1_000 }), hold("old", 60n)]);
    ledger.nowMs = NOON + 5_000;
    await ledger.one({ kind: "expire_lots", accountId: "acme" });
    ledger.nowMs = NOON - 3_600_000;
    expect(word(await ledger.one(hold("new", 1n)))).toBe("insufficient_credits");
    const settled = must(await ledger.one(settle("old", 60n)));
    expect(settled.hold).toMatchObject({ chargedNanos: 60n, writtenOffNanos: 0n });
  });

  test("a debt is repaid by the next credit", async () => {
    ledger = await open();
    await withCredit(ledger, 100n, -50n);
    await ledger.commit([hold("r1", 150n), settle("r1", 150n)]);
    expect(must(await ledger.one(credit("next", 80n))).balances?.balanceNanos).toBe(30n);
    expect(word(await ledger.one(refund("f1", 31n, "next")))).toBe("not_refundable");
    expect(word(await ledger.one(refund("f2", 30n, "next")))).toBe("ok");
  });

  test("a reference credits once, whoever asks and however often", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    await ledger.one({ kind: "open_wallet", accountId: "other", floorNanos: 0n });
    const results = await ledger.commit([
      credit("order-1", 100n),
      credit("order-1", 100n),
      credit("order-1", 101n),
      credit("order-1", 100n, { accountId: "other" }),
    ]);
    expect(results.map(word)).toEqual(["ok", "repeat", "reference_used", "reference_used"]);
  });

  test("credit that was given cannot be paid back", async () => {
    ledger = await open();
    await withCredit(ledger, 0n);
    await ledger.one(promo("welcome", 100n));
    expect(word(await ledger.one(refund("f1", 1n, "welcome")))).toBe("not_refundable");
    expect(word(await ledger.one(promo("sly", 100n, { isRefundable: true })))).toBe("not_refundable");
  });

  test("what is being paid back cannot be spent, and comes back to its lot when the payment fails", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    expect(word(await ledger.one(hold("r1", 30n)))).toBe("ok");
    expect(word(await ledger.one(refund("f1", 71n)))).toBe("insufficient_credits");
    expect(word(await ledger.one(refund("f1", 70n)))).toBe("ok");
    expect(word(await ledger.one(hold("r2", 1n)))).toBe("insufficient_credits");
    const failed = await ledger.commit([
      { kind: "finish_refund", id: "f1", outcome: "failed" },
      { kind: "finish_refund", id: "f1", outcome: "failed" },
      { kind: "finish_refund", id: "f1", outcome: "done" },
    ]);
    expect(failed.map(word)).toEqual(["ok", "repeat", "not_open"]);
    expect(word(await ledger.one(hold("r2", 70n)))).toBe("ok");
    expect(word(await ledger.one(voided("r2")))).toBe("ok");
    expect(word(await ledger.one(refund("f2", 70n)))).toBe("ok");
    expect(word(await ledger.one({ kind: "finish_refund", id: "f2", outcome: "done" }))).toBe("ok");
  });
});

const EXPECTED = [
  { id: "settle:r1", code: "usage", amount: 50n },
  { id: "settle:r1:promo", code: "usage_promo", amount: 100n },
];

function refund(id: string, amountNanos: bigint, reference = "top-up-1") {
  return { kind: "reserve_refund", id, accountId: "acme", reference, amountNanos, actor: "test" } as const;
}
