import { afterEach, describe, expect, test } from "vitest";
import type { Operation } from "../../src/ledger/operation.ts";
import { hold, must, settle, voided, word } from "./operations.ts";
import { SEAT, STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

const RECOVER: Operation = { kind: "recover", node: "node_1" };

function checkpoint(id: string, seq: number, chargeNanos: bigint): Operation {
  return { kind: "checkpoint", id, seq, inputTokens: 5, outputTokens: 512 * seq, chargeNanos };
}

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let ledger: TestLedger;
  afterEach(async () => {
    expect(await ledger.audit()).toEqual([]);
    await ledger.close();
  });

  test("a restart ends what its former life left: without a checkpoint it costs nothing", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.one(hold("r1", 100n));
    const recovered = must(await ledger.one(RECOVER));
    expect(recovered.recovery).toMatchObject({ epoch: 2, holds: [{ id: "r1", state: "recovered", chargedNanos: 0n, basis: "none" }] });
    ledger.seat = { ...SEAT, epoch: 2 };
    expect(must(await ledger.one(hold("r2", 1_000n))).balances?.heldNanos).toBe(1_000n);
  });

  test("a restart charges the last checkpoint, never more than the hold, and never twice", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.commit([hold("r1", 100n), checkpoint("r1", 1, 30n), checkpoint("r1", 3, 60n), checkpoint("r1", 2, 40n)]);
    await ledger.commit([hold("r2", 50n), checkpoint("r2", 1, 70n)]);
    const { recovery } = must(await ledger.one(RECOVER));
    expect(recovery?.holds.map((each) => [each.chargedNanos, each.basis])).toEqual([
      [60n, "checkpoint"],
      [50n, "checkpoint"],
    ]);
    expect(must(await ledger.one(RECOVER)).recovery).toEqual({ epoch: 3, holds: [] });
    expect(must(await ledger.one({ kind: "set_wallet", accountId: "acme" })).balances).toMatchObject({ balanceNanos: 890n, heldNanos: 0n });
  });

  test("a settlement that comes after the recovery finds it done and becomes one correction", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.commit([hold("r1", 100n), checkpoint("r1", 1, 30n)]);
    ledger.nowMs += SEAT.leaseMs;
    const zombie = ledger.seat;
    ledger.seat = { ...SEAT, node: "peer", epoch: 1 };
    expect(word(await ledger.one(RECOVER))).toBe("ok");
    ledger.seat = zombie;
    expect(await ledger.one(settle("r1", 45n))).toMatchObject({ code: "not_open", hold: { state: "recovered", chargedNanos: 30n } });
    expect(word(await ledger.one(voided("r1")))).toBe("not_open");
    const corrected = must(await ledger.one({ kind: "correct", id: "r1", costNanos: 45n }));
    expect([corrected.hold?.chargedNanos, corrected.balances?.balanceNanos]).toEqual([45n, 955n]);
  });

  test("a peer may not end a process whose lease runs, and one that was ended makes no holds", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.one(hold("r1", 100n));
    const first = ledger.seat;
    ledger.seat = { ...SEAT, node: "peer", epoch: 1 };
    expect(word(await ledger.one(RECOVER))).toBe("lease_alive");
    ledger.nowMs += SEAT.leaseMs;
    expect(must(await ledger.one(RECOVER)).recovery).toMatchObject({ epoch: 2 });
    ledger.seat = first;
    const results = await ledger.commit([hold("r2", 1n), { kind: "extend", id: "r1", toNanos: 200n }, { kind: "renew_lease" }]);
    expect(results.map(word)).toEqual(["stale_epoch", "not_open", "stale_epoch"]);
  });

  test("a lease that ran out admits nothing until it is renewed, and its holds stay its own", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.one(hold("r1", 100n));
    ledger.nowMs += SEAT.leaseMs;
    expect(word(await ledger.one(hold("r2", 1n)))).toBe("stale_epoch");
    const results = await ledger.commit([{ kind: "renew_lease" }, hold("r2", 1n), settle("r1", 7n)]);
    expect(results.map(word)).toEqual(["ok", "ok", "ok"]);
  });

  test("holds and the recovery that ends them may meet in one batch", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    const [, recovered, late] = await ledger.commit([hold("r1", 100n), RECOVER, hold("r2", 1n)]);
    expect(must(recovered).recovery?.holds).toHaveLength(1);
    expect(word(late)).toBe("stale_epoch");
  });

  test("a hold that is made, noted and recovered in one batch has a row that says what it was charged", async () => {
    ledger = await open();
    await withCredit(ledger, 1_000n);
    await ledger.commit([hold("r1", 100n), checkpoint("r1", 1, 30n), RECOVER]);
    expect(must(await ledger.one({ kind: "set_wallet", accountId: "acme" })).balances?.balanceNanos).toBe(970n);
    const rows = await ledger.query?.("SELECT id, charge_nanos FROM requests");
    if (rows !== undefined) expect(rows).toEqual([{ id: "r1", charge_nanos: 30n }]);
  });

  test("a charge-back may drive the balance below the floor: no new hold, and running ones are written off where nothing is left", async () => {
    ledger = await open();
    await withCredit(ledger, 100n);
    await ledger.one(hold("r1", 60n));
    const back: Operation = {
      kind: "adjust",
      accountId: "acme",
      deltaNanos: -90n,
      reference: "cb1",
      reason: "charge-back",
      actor: "stripe",
    };
    expect((await ledger.commit([back, back])).map(word)).toEqual(["ok", "repeat"]);
    expect(word(await ledger.one(hold("r2", 0n)))).toBe("insufficient_credits");
    expect(must(await ledger.one(settle("r1", 60n)))).toMatchObject({
      hold: { chargedNanos: 10n, writtenOffNanos: 50n },
      balances: { balanceNanos: 0n },
    });
  });
});
