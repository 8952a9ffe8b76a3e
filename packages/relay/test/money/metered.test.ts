import { describe, expect, test } from "vitest";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, readStream } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";
import { credit } from "../ledger/operations.ts";
import { costOf, DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  const open = async (credit: string, scenario: Partial<Scenario>, more: Parameters<typeof Shop.open>[2] = {}): Promise<Shop> =>
    Shop.open(credit, scenario, { database: await newDatabase(), ...more });

  test.each([true, false])("a request costs what its usage costs, to the nano-dollar (streamed: %s)", async (stream) => {
    shop = await open("5.00", { text: "one two three four", tokens: { prompt: 120, cached: 20, completion: 7 } });
    const answer = await shop.ask({ ...SMALL, stream });
    expect(answer.status).toBe(200);
    const row = await shop.relay.row();
    expect(row).toMatchObject({ basis: "exact", input_tokens: 120, cached_input_tokens: 20, output_tokens: 7 });
    // 100 x 1,000,000 + 20 x 100,000 + 7 x 2,000,000 nano-USD
    expect(row["charge_nanos"]).toBe(116_000_000);
    expect(costOf(row)).toBe(116_000_000n);
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR - 116_000_000n), held_nanos: "0", available: "4.884" });
  });

  test("an account without enough credit gets 402, and no upstream hears of it", async () => {
    shop = await open("0", { text: "x" });
    const startedAt = performance.now();
    const answer = await shop.ask();
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect([answer.status, errorOf(answer)]).toMatchObject([402, { code: "insufficient_credits", type: "insufficient_quota" }]);
    expect(answer.headers["x-should-retry"]).toBe("false");
    expect(shop.simulator.seen.length).toBe(0);
    expect(await shop.relay.row()).toMatchObject({ end_reason: "refused", error_code: "insufficient_credits", status: 402, basis: "none" });
  });

  test(
    "a balance for exactly ten requests admits ten of three hundred at once, and never goes below zero",
    { timeout: 30_000 },
    async () => {
      shop = await open("1000.00", { text: "x", ttftMs: 4_000 });
      const probe = shop.ask();
      await until(() => shop.simulator.counts.openRequests === 1);
      const hold = BigInt((await shop.balance()).held_nanos);
      await probe;
      await shop.close();

      shop = await open("0", { text: "x", ttftMs: 4_000 });
      const tenHolds = `${(hold * 10n) / DOLLAR}.${String((hold * 10n) % DOLLAR).padStart(9, "0")}`;
      await shop.admin("POST", `accounts/${shop.id}/credits`, { amount: tenHolds, reason: "ten", reference: "ten" });
      const samples: bigint[] = [];
      const sampling = setInterval(
        () => void shop.balance().then((seen) => samples.push(BigInt(seen.balance_nanos) - BigInt(seen.held_nanos))),
        20,
      );
      const answers = await Promise.all(Array.from({ length: 300 }, () => shop.ask()));
      clearInterval(sampling);
      const statuses = answers.map((answer) => answer.status);
      expect(statuses.filter((status) => status === 200).length).toBe(10);
      expect(statuses.filter((status) => status === 402).length).toBe(290);
      expect(shop.simulator.counts.requests).toBe(10);
      expect(samples.length).toBeGreaterThan(10);
      expect(samples.every((available) => available >= 0n)).toBe(true);
      expect((await shop.balance()).held_nanos).toBe("0");
    },
  );

  test("an upstream's failure before any output costs the customer nothing", async () => {
    shop = await open("5.00", { fault: { kind: "status", status: 500 } });
    expect((await shop.ask()).status).toBe(502);
    await shop.relay.row();
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR), held_nanos: "0" });
  });

  test("a cut answer is charged by what was delivered, marked as an estimate", async () => {
    shop = await open("500.00", { events: 40, fault: { kind: "cut", bytes: 3_000 } });
    expect(errorOf(await shop.ask({ ...SMALL, max_tokens: 200 })).code).toBe("upstream_truncated");
    const row = await shop.relay.row();
    expect(row).toMatchObject({ basis: "estimated", end_reason: "upstream_truncated" });
    expect(BigInt(String(row["charge_nanos"]))).toBe(costOf(row));
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(500n * DOLLAR - costOf(row)), held_nanos: "0" });
  });

  test("an answer without usage is estimated, and never charged above its hold", async () => {
    shop = await open("500.00", { events: 10, eventBytes: 400, usage: "never" });
    expect(readStream(await shop.ask({ ...SMALL, max_tokens: 10 })).outcome).toBe("complete");
    const row = await shop.relay.row();
    const hold = await shop.hold(row["id"]);
    expect(row).toMatchObject({ basis: "estimated" });
    expect(costOf(row)).toBeGreaterThan(BigInt(String(hold["amount"])));
    expect(hold).toMatchObject({ charged: hold["amount"], written_off: 0n });
  });

  test("a client that leaves pays for what was delivered, and its hold ends", async () => {
    shop = await open("500.00", { fault: { kind: "endless-stream" }, ratePerSecond: 100 });
    const leave = new AbortController();
    await shop.ask({ ...SMALL, max_tokens: 1_000 }, { signal: leave.signal, onBytes: () => leave.abort() }).catch(() => null);
    const row = await shop.relay.row();
    expect(row).toMatchObject({ basis: "estimated", end_reason: "client_gone" });
    expect(BigInt(String(row["charge_nanos"]))).toBe(costOf(row));
    expect((await shop.balance()).held_nanos).toBe("0");
  });

  test("usage of zero costs nothing, and usage above the hold is charged no further than the balance", async () => {
    shop = await open("1.00", { text: "x", tokens: { prompt: 0, completion: 0 } });
    expect(readStream(await shop.ask()).outcome).toBe("complete");
    expect((await shop.relay.row())["charge_nanos"]).toBe(0);
    shop.simulator.setScenario({ text: "x", tokens: { prompt: 5_000, completion: 5_000 } });
    expect(readStream(await shop.ask()).outcome).toBe("complete");
    expect(await shop.balance()).toMatchObject({ balance_nanos: "0", held_nanos: "0" });
    // 5,000 tokens of each kind are 15 dollars, and there was one.
    expect((await call(shop.relay, { path: "/metrics", method: "GET", body: null })).body).toContain(
      'millrace_written_off_usd_total{model="m"} 14',
    );
    expect(shop.relay.logLines.join("")).toContain("cost 14.00 USD more than there was");
    expect((await shop.ask()).status).toBe(402);
  });

  test("an account may be let below zero, as far as its floor and no further", async () => {
    shop = await open("0", { text: "x", tokens: { prompt: 100, completion: 10 } });
    expect((await shop.ask()).status).toBe(402);
    await shop.admin("PATCH", `accounts/${shop.id}`, { floor: "-0.50" });
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await shop.ask()).status);
    expect([statuses[0], statuses.at(-1)]).toEqual([200, 402]);
    const balance = BigInt((await shop.balance()).balance_nanos);
    expect(balance).toBe(-120_000_000n * BigInt(statuses.filter((status) => status === 200).length));
    expect(balance).toBeGreaterThanOrEqual(-DOLLAR / 2n);
    for (const [account, floor] of [
      ["default", "-1.00"],
      [shop.id, "1.00"],
      [shop.id, "x"],
    ]) {
      const refused = await call(shop.relay, {
        method: "PATCH",
        path: `/admin/api/accounts/${String(account)}`,
        body: { floor },
        headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
      });
      expect([account, floor, refused.status]).toEqual([account, floor, 400]);
    }
  });

  test("a request that could cost more than there is money is refused as such", async () => {
    shop = await open("5.00", { text: "x" });
    const answer = await shop.ask({ ...SMALL, max_tokens: 100_000_000_000_000 });
    expect([answer.status, errorOf(answer).code]).toEqual([402, "insufficient_credits"]);
  });

  test("the same grant twice credits once, and a reference is not used for two", async () => {
    shop = await open("5.00", { text: "x" });
    const again = await shop.admin("POST", `accounts/${shop.id}/credits`, { amount: "5.00", reason: "test", reference: "grant-1" });
    expect(again).toMatchObject({ balance: "5.00", balance_nanos: String(5n * DOLLAR) });
    const credit = (amount: string, reference: string): ReturnType<typeof call> =>
      call(shop.relay, {
        path: `/admin/api/accounts/${shop.id}/credits`,
        body: { amount, reason: "test", reference },
        headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
      });
    expect((await credit("7.00", "grant-1")).status).toBe(400);
    for (const amount of ["0", "-1.00", "1e3", "5,00", "0.0000000001", ""])
      expect([amount, (await credit(amount, `bad-${amount}`)).status]).toEqual([amount, 400]);
    expect((await shop.balance()).balance_nanos).toBe(String(5n * DOLLAR));
  });

  test("a model without a price is refused to an account that pays, and free to one that does not", async () => {
    shop = await open("5.00", { text: "x" }, { prices: { prices: new Map(), costs: new Map(), derived: new Map() } });
    const refused = await shop.ask();
    expect([refused.status, errorOf(refused).code]).toEqual([403, "model_not_allowed"]);
    expect((await call(shop.relay)).status).toBe(200);
  });

  test("balances have DeepSeek's shape at DeepSeek's address, and an account that does not pay always has enough", async () => {
    shop = await open("4.20", { text: "x", tokens: { prompt: 1_000, completion: 100 } });
    const told = async (): Promise<unknown> => (await shop.get("/user/balance")).json;
    const infos = (total: string, granted: string, toppedUp: string): unknown => ({
      is_available: total !== "0.00",
      balance_infos: [{ currency: "USD", total_balance: total, granted_balance: granted, topped_up_balance: toppedUp }],
    });
    expect(await told()).toEqual(infos("4.20", "4.20", "0.00"));
    const paid = credit("order-1", 2n * DOLLAR, { accountId: shop.id });
    expect((await shop.relay.books.ledger.ask(paid)).ok).toBe(true);
    expect(await told()).toEqual(infos("6.20", "4.20", "2.00"));
    // 1.20 a request: what was given goes first.
    for (let i = 0; i < 4; i++) await shop.ask();
    expect(await told()).toEqual(infos("1.40", "0.00", "1.40"));
    for (let i = 0; i < 2; i++) await shop.ask();
    expect(await told()).toEqual(infos("0.00", "0.00", "0.00"));
    expect((await shop.get("/user/balance", shop.relay.key)).json).toMatchObject({ is_available: true });
  });
});
