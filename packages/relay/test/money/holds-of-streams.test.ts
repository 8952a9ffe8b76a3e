import { describe, expect, test } from "vitest";
import { until } from "../simulator/raw-client.ts";
import { errorOf, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { costOf, DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("a running stream notes every second what its death would cost, never more than its hold", { timeout: 30_000 }, async () => {
    shop = await Shop.open("500.00", { fault: { kind: "endless-stream" }, ratePerSecond: 50 }, { database: await newDatabase() });
    const leave = new AbortController();
    const running = shop.ask({ ...SMALL, max_tokens: 5_000 }, { signal: leave.signal }).catch(() => null);
    const seen: bigint[] = [];
    for (let seq = 0; seq < 3;) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const [hold] = await shop.relay.query("SELECT checkpoint_seq, checkpoint_charge, amount FROM holds");
      if (hold === undefined || Number(hold["checkpoint_seq"]) === seq) continue;
      seq = Number(hold["checkpoint_seq"]);
      seen.push(BigInt(String(hold["checkpoint_charge"])));
      expect(seen.at(-1)).toBeLessThanOrEqual(BigInt(String(hold["amount"])));
    }
    leave.abort();
    await running;
    expect(seen.every((charge, at) => charge > (seen[at - 1] ?? 0n))).toBe(true);
    const row = await shop.relay.row();
    expect(BigInt(String(row["charge_nanos"]))).toBeGreaterThanOrEqual(seen.at(-1) ?? 0n);
    expect(BigInt(String(row["charge_nanos"]))).toBe(costOf(row));
  });

  test("a sliding hold begins small, grows with its stream, and ends at the true cost", { timeout: 30_000 }, async () => {
    const words = 6_000;
    shop = await Shop.open(
      "500.00",
      { events: words, tokens: { prompt: 10, completion: words } },
      { database: await newDatabase(), hold: "sliding" },
    );
    const amounts: bigint[] = [];
    const sampling = setInterval(
      () =>
        void shop.relay
          .query("SELECT amount FROM holds")
          .then(([hold]) => hold !== undefined && amounts.push(BigInt(String(hold["amount"])))),
      5,
    );
    const answer = await shop.ask({ ...SMALL, max_tokens: 100_000 });
    clearInterval(sampling);
    expect(readStream(answer).outcome).toBe("complete");
    const row = await shop.relay.row();
    const hold = await shop.hold(row["id"]);
    expect(hold).toMatchObject({
      mode: "sliding",
      state: "settled",
      basis: "exact",
      charged: 10n * 1_000_000n + BigInt(words) * 2_000_000n,
    });
    // A full hold would have been for 100,000 tokens: 200 dollars and more.
    expect(BigInt(String(hold["amount"]))).toBeLessThan(80n * DOLLAR);
    expect(new Set(amounts).size).toBeGreaterThan(1);
    expect(await shop.balance()).toMatchObject({ held_nanos: "0" });
  });

  test(
    "a stream whose hold cannot grow ends with insufficient_credits, without [DONE], and is charged within its credit",
    { timeout: 30_000 },
    async () => {
      shop = await Shop.open(
        "6.00",
        { fault: { kind: "endless-stream" }, ratePerSecond: 3_000 },
        { database: await newDatabase(), hold: "sliding" },
      );
      const answer: Answer = await shop.ask({ model: "m", stream: true, messages: SMALL.messages });
      expect(answer.status).toBe(200);
      expect(errorOf(answer).code).toBe("insufficient_credits");
      expect([answer.isWhole, answer.body.includes("[DONE]"), readStream(answer).outcome]).toEqual([false, false, "error"]);
      const row = await shop.relay.row();
      expect(row).toMatchObject({ end_reason: "insufficient_credits", error_code: "insufficient_credits", basis: "estimated" });
      const { balance_nanos, held_nanos } = await shop.balance();
      expect(held_nanos).toBe("0");
      expect(BigInt(balance_nanos)).toBe(6n * DOLLAR - costOf(row));
      expect((await shop.hold(row["id"]))["written_off"]).toBe(0n);
      await until(() => shop.simulator.counts.openRequests === 0);
    },
  );

  test("credit that comes while a stream runs carries it on", { timeout: 30_000 }, async () => {
    shop = await Shop.open(
      "6.00",
      { events: 4_000, ratePerSecond: 2_000, tokens: { prompt: 5, completion: 4_000 } },
      { database: await newDatabase(), hold: "sliding" },
    );
    const running = shop.ask({ model: "m", stream: true, messages: SMALL.messages });
    await until(() => shop.simulator.counts.openRequests === 1);
    await shop.admin("POST", `accounts/${shop.id}/credits`, { amount: "100.00", reason: "top-up", reference: "later" });
    expect(readStream(await running).outcome).toBe("complete");
    expect(await shop.relay.row()).toMatchObject({ basis: "exact", charge_nanos: 5 * 1_000_000 + 4_000 * 2_000_000 });
  });

  test("a plain answer is held for in full, sliding or not", async () => {
    shop = await Shop.open("1.00", { text: "x" }, { database: await newDatabase(), hold: "sliding" });
    expect((await shop.ask({ ...SMALL, stream: false, max_tokens: 4_000 })).status).toBe(402);
    expect((await shop.ask({ ...SMALL, stream: false, max_tokens: 40 })).status).toBe(200);
  });
});
