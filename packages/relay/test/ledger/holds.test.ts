import { afterEach, describe, expect, test } from "vitest";
import type { Operation } from "../../src/ledger/operation.ts";
import { credit, hold, must, settle, voided, word } from "./operations.ts";
import { STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let ledger: TestLedger;
  afterEach(async () => {
    expect(await ledger.audit()).toEqual([]);
    await ledger.close();
  });

  test("a hold sets money aside, its settlement charges the cost and frees the rest", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    expect(must(await ledger.one(hold("r1", 400n))).balances).toMatchObject({
      balanceNanos: 1_000n,
      heldNanos: 400n,
      availableNanos: 600n,
    });
    const settled = must(await ledger.one(settle("r1", 150n)));
    expect(settled.balances).toMatchObject({ balanceNanos: 850n, heldNanos: 0n, availableNanos: 850n });
    expect(settled.hold).toEqual({
      id: "r1",
      state: "settled",
      amountNanos: 400n,
      chargedNanos: 150n,
      writtenOffNanos: 0n,
      basis: "exact",
    });
  });

  test("a void charges nothing", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.one(hold("r1", 400n));
    expect(must(await ledger.one(voided("r1"))).balances).toMatchObject({ balanceNanos: 1_000n, heldNanos: 0n });
  });

  test("a hold and its settlement may meet in one batch", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    const results = await ledger.commit([hold("r1", 400n), hold("r2", 700n), settle("r1", 10n), hold("r3", 700n)]);
    expect(results.map(word)).toEqual(["ok", "insufficient_credits", "ok", "ok"]);
  });

  test("what is asked twice happens once, and the second answer is the first", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    for (const operation of [credit("again", 5n), hold("r1", 400n), settle("r1", 150n)]) {
      expect(word(await ledger.one(operation))).toBe("ok");
      expect(must(await ledger.one(operation)).isRepeat).toBe(true);
    }
    expect(must(await ledger.one(settle("r1", 999n))).hold?.chargedNanos).toBe(150n);
    expect(must(await ledger.one(credit("next", 1n))).balances?.balanceNanos).toBe(856n);
  });

  test("a hold is refused when it does not fit, and the refusal says what is left", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    await ledger.one(hold("r1", 60n));
    expect(await ledger.one(hold("r2", 41n))).toEqual({ ok: false, code: "insufficient_credits", availableNanos: 40n });
    expect(word(await ledger.one(hold("r2", 40n)))).toBe("ok");
  });

  test("a cost above the hold is charged down to the floor, the rest is written off, and other holds are untouched", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    await ledger.commit([hold("r1", 10n), hold("other", 50n)]);
    const settled = must(await ledger.one(settle("r1", 70n)));
    expect(settled.hold).toMatchObject({ chargedNanos: 50n, writtenOffNanos: 20n });
    expect(settled.balances).toMatchObject({ balanceNanos: 50n, heldNanos: 50n, availableNanos: 0n });
    expect(must(await ledger.one(settle("other", 50n))).hold).toMatchObject({ chargedNanos: 50n, writtenOffNanos: 0n });
  });

  test("a floor below zero lets an account owe that much and no more", async () => {
    ledger = await open();
    await withCredit(ledger, 100n, -50n);
    expect(word(await ledger.one(hold("r1", 151n)))).toBe("insufficient_credits");
    await ledger.one(hold("r1", 150n));
    expect(must(await ledger.one(settle("r1", 170n)))).toMatchObject({
      hold: { chargedNanos: 150n, writtenOffNanos: 20n },
      balances: { balanceNanos: -50n },
    });
  });

  test("an extension names the new amount, so a repeated one raises once", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    await ledger.one(hold("r1", 40n, { mode: "sliding" }));
    const results = await ledger.commit([
      { kind: "extend", id: "r1", toNanos: 80n },
      { kind: "extend", id: "r1", toNanos: 80n },
      { kind: "extend", id: "r1", toNanos: 101n },
    ]);
    expect(results.map(word)).toEqual(["ok", "repeat", "insufficient_credits"]);
    expect(must(await ledger.one(settle("r1", 80n))).balances?.balanceNanos).toBe(20n);
  });

  test("a suspended account gets no hold and no extension, but its streams are settled", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    await ledger.commit([hold("r1", 40n), { kind: "set_wallet", accountId: "acme", status: "frozen" }]);
    const results = await ledger.commit([hold("r2", 1n), { kind: "extend", id: "r1", toNanos: 50n }, settle("r1", 30n)]);
    expect(results.map(word)).toEqual(["account_suspended", "account_suspended", "ok"]);
  });

  test("what does not exist, is closed or is no amount is refused by name", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    await ledger.commit([hold("gone", 1n), voided("gone"), hold("open", 1n)]);
    const results = await ledger.commit([
      hold("r1", 1n, { accountId: "nobody" }),
      settle("nothing", 1n),
      voided("nothing"),
      settle("gone", 1n),
      { kind: "extend", id: "gone", toNanos: 5n },
      { kind: "checkpoint", id: "gone", seq: 1, inputTokens: 1, outputTokens: 1, chargeNanos: 1n },
      { kind: "correct", id: "open", costNanos: 1n },
      { kind: "correct", id: "gone", costNanos: 1n },
      hold("r1", -1n),
      hold("r1", 10n ** 18n + 1n),
      settle("open", -1n),
      hold("gone", 1n),
      hold("open", 2n),
    ]);
    expect(results.map(word)).toEqual([
      "account_unknown",
      "hold_unknown",
      "hold_unknown",
      "not_open",
      "not_open",
      "not_open",
      "not_closed",
      "not_closed",
      "invalid_amount",
      "invalid_amount",
      "invalid_amount",
      "hold_exists",
      "hold_exists",
    ]);
  });

  test("a late exact cost moves the difference once, and the receipt shows the net", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.commit([hold("low", 100n), settle("low", 50n, { basis: "estimated" }), hold("high", 100n), settle("high", 50n)]);
    const [up, again, other, down] = await ledger.commit([
      { kind: "correct", id: "low", costNanos: 80n },
      { kind: "correct", id: "low", costNanos: 80n },
      { kind: "correct", id: "low", costNanos: 81n },
      { kind: "correct", id: "high", costNanos: 20n },
    ]);
    expect(must(up)).toMatchObject({ hold: { chargedNanos: 80n, basis: "exact" }, balances: { balanceNanos: 870n } });
    expect([word(again), word(other)]).toEqual(["repeat", "corrected_already"]);
    expect(must(down)).toMatchObject({ hold: { chargedNanos: 20n }, balances: { balanceNanos: 900n } });
    expect(must(await ledger.one(settle("low", 50n))).hold?.chargedNanos).toBe(80n);
  });

  test("an Idempotency-Key stands for one request: running, finished, with another body, and free again", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    ledger.seat = { ...ledger.seat, leaseMs: 48 * 3_600_000 };
    const keyed = (id: string, bodySha256 = "sha"): Operation => hold(id, 1n, { idempotency: { key: "k", bodySha256 } });
    const asked: Operation[] = [
      { kind: "renew_lease" },
      keyed("r1"),
      keyed("r1"),
      keyed("r2"),
      keyed("r2", "other"),
      voided("r1"),
      keyed("r2"),
      settle("r2", 1n),
      keyed("r3"),
      keyed("r3", "other"),
      hold("r3", 1n, { accountId: "acme", idempotency: { key: "K", bodySha256: "sha" } }),
    ];
    const words = "ok ok repeat idempotency_in_progress idempotency_mismatch ok ok ok idempotency_finished idempotency_mismatch ok".split(
      " ",
    );
    expect((await ledger.commit(asked)).map(word)).toEqual(words);
    expect(await ledger.one(keyed("r4"))).toMatchObject({ code: "idempotency_finished", hold: { id: "r2", chargedNanos: 1n } });
    ledger.nowMs += 24 * 3_600_000;
    expect(word(await ledger.one(keyed("r4")))).toBe("ok");
    expect(await ledger.one(keyed("r5"))).toMatchObject({ code: "idempotency_in_progress", hold: { id: "r4" } });
  });

  test("a correction frees the Idempotency-Key of what was not delivered, once, and not that of a later request", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    const keyed = (id: string): Operation => hold(id, 1n, { idempotency: { key: "k", bodySha256: "sha" } });
    const undo = (id: string, freesKey: boolean): Operation => ({ kind: "correct", id, costNanos: 0n, freesKey });
    const asked = [keyed("r1"), settle("r1", 1n), keyed("r2"), undo("r1", true), keyed("r2"), undo("r1", true), keyed("r3")];
    const words = ["ok", "ok", "idempotency_finished", "ok", "ok", "repeat", "idempotency_in_progress"];
    expect((await ledger.commit(asked)).map(word)).toEqual(words);
    expect((await ledger.commit([settle("r2", 1n), undo("r2", false), keyed("r3")])).map(word)).toEqual([
      "ok",
      "ok",
      "idempotency_finished",
    ]);
    expect(must(await ledger.one(credit("more", 1n))).balances?.balanceNanos).toBe(1_001n);
  });

  test("a correction leaves the Idempotency-Key that another request took after a day", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    ledger.seat = { ...ledger.seat, leaseMs: 48 * 3_600_000 };
    const keyed = (id: string): Operation => hold(id, 1n, { idempotency: { key: "k", bodySha256: "sha" } });
    await ledger.commit([{ kind: "renew_lease" }, keyed("r1"), settle("r1", 1n)]);
    ledger.nowMs += 25 * 3_600_000;
    await ledger.one(keyed("r2"));
    expect((await ledger.commit([{ kind: "correct", id: "r1", costNanos: 0n, freesKey: true }, keyed("r3")])).map(word)).toEqual([
      "ok",
      "idempotency_in_progress",
    ]);
    expect(word(await ledger.one(keyed("r4")))).toBe("idempotency_in_progress");
  });
});
