import { afterEach, describe, expect, test } from "vitest";
import { accountsWithExpired, readReceipt, readStatement } from "../../src/store/ledger/read.ts";
import { DAY_MS, hold, must, NOON, promo, settle } from "./operations.ts";
import { STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

const DATABASES = Object.entries(STORES).filter(([name]) => name !== "the engine alone");

describe.each(DATABASES)("%s", (_name, open) => {
  let ledger: TestLedger;
  afterEach(async () => {
    expect(await ledger.audit()).toEqual([]);
    await ledger.close();
  });

  async function aMonth(): Promise<NonNullable<TestLedger["read"]>> {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    ledger.seat = { ...ledger.seat, leaseMs: 30 * DAY_MS };
    await ledger.commit([{ kind: "renew_lease" }, promo("welcome", 100n, { expiresAtMs: NOON + 2 * DAY_MS })]);
    ledger.nowMs += DAY_MS;
    await ledger.commit([hold("r1", 90n), settle("r1", 60n), hold("r2", 300n), settle("r2", 200n, { basis: "estimated" })]);
    await ledger.commit([{ kind: "correct", id: "r2", costNanos: 210n }, hold("r3", 50n)]);
    if (ledger.read === null) throw new Error("this is a database");
    return ledger.read;
  }

  test("a statement's opening and movements make its closing, which is the balance, and its usage is that of the requests", async () => {
    const read = await aMonth();
    const whole = await read(() => readStatement("wallet:acme", 0, NOON + 30 * DAY_MS));
    expect(whole).toEqual({
      openingNanos: 0n,
      byCode: new Map([
        ["correction", -10n],
        ["promo", 100n],
        ["topup", 1_000n],
        ["usage", -160n],
        ["usage_promo", -100n],
      ]),
      closingNanos: 830n,
    });
    expect(must(await ledger.one({ kind: "set_wallet", accountId: "acme" })).balances?.balanceNanos).toBe(830n);
    const first = await read(() => readStatement("wallet:acme", 0, NOON + DAY_MS));
    const rest = await read(() => readStatement("wallet:acme", NOON + DAY_MS, NOON + 30 * DAY_MS));
    expect([first.closingNanos, rest.openingNanos, rest.closingNanos]).toEqual([1_100n, 1_100n, 830n]);
  });

  test("a receipt shows all that moved for a request, to its own account only", async () => {
    const read = await aMonth();
    const receipt = await read(() => readReceipt("r2", "acme"));
    expect(receipt).toMatchObject({
      hold: { id: "r2", state: "settled", chargedNanos: 200n, basis: "estimated", inputTokens: 10, outputTokens: 20 },
      correction: { costNanos: 210n, deltaNanos: 10n },
    });
    expect(receipt?.transfers.map((transfer) => [transfer.id, transfer.amountNanos])).toEqual([
      ["settle:r2:promo", 40n],
      ["settle:r2", 160n],
      ["correct:r2", 10n],
    ]);
    expect(receipt?.lotMoves.reduce((sum, move) => sum + move.deltaNanos, 0n)).toBe(-210n);
    expect(await read(() => readReceipt("r2", "other"))).toBeNull();
    expect(await read(() => readReceipt("r9", "acme"))).toBeNull();
  });

  test("who has credit that expired is found until it is swept", async () => {
    const read = await aMonth();
    await ledger.one(promo("short", 5n, { expiresAtMs: ledger.nowMs + 1 }));
    expect(await read(() => accountsWithExpired(ledger.nowMs, 10))).toEqual([]);
    ledger.nowMs += 1;
    expect(await read(() => accountsWithExpired(ledger.nowMs, 10))).toEqual(["acme"]);
    // The open hold r3 may still use it.
    await ledger.commit([settle("r3", 5n), { kind: "expire_lots", accountId: "acme" }]);
    expect(await read(() => accountsWithExpired(ledger.nowMs, 10))).toEqual([]);
  });
});
