/** Promises about money that hang on time: what was agreed when a request began holds until it ends. */
import { readWrittenPrice } from "@millrace/policy/price-written";
import OpenAI7 from "openai7";
import { describe, expect, test } from "vitest";
import { withId } from "../../src/prices/id.ts";
import { tierForAll } from "../limits/tiers.ts";
import { call, errorOf, readStream } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

type Price = Parameters<typeof readWrittenPrice>[0];

function version(price: Price): ReturnType<typeof withId> {
  const written = readWrittenPrice(price);
  if (!("price" in written)) throw new Error("the test's own price is wrong");
  return withId("m", written.price);
}

/** Opens a shop whose price changes more than a second after it is open, however slowly this machine opens it. @returns when. */
async function openBeforeChange(newDatabase: () => Promise<TestDatabase>, leadMs = 2_000): Promise<Date> {
  const from = new Date(Math.ceil((Date.now() + leadMs) / 1_000) * 1_000);
  const history = [
    version({ input: "1000.00", cached_input: "100.00", output: "2000.00" }),
    version({ input: "3000.00", cached_input: "300.00", output: "7000.00", from: from.toISOString().replace(".000", "") }),
  ];
  const prices = { prices: new Map([["m", history]]), costs: new Map(), derived: new Map() };
  const scenario = { events: 90, ratePerSecond: 30, tokens: { prompt: 10, completion: 5 } };
  shop = await Shop.open("50.00", scenario, { prices, database: await newDatabase() });
  if (from.getTime() - Date.now() > 1_100) return from;
  await shop.close();
  return openBeforeChange(newDatabase, 2 * leadMs);
}

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("a price that changes while a request runs is that of the next request", { timeout: 60_000 }, async () => {
    const from = await openBeforeChange(newDatabase);
    // Asked a second before the change, it ends two after it.
    await new Promise((resolve) => setTimeout(resolve, from.getTime() - 1_000 - Date.now()));
    const answer = await shop.ask({ ...SMALL, max_tokens: 500 });
    expect(readStream(answer).outcome).toBe("complete");
    expect(Date.now()).toBeGreaterThan(from.getTime());
    const chargeOf = async (id: unknown): Promise<unknown[]> => {
      const { json } = await shop.get(`/v1/requests/${String(id)}`);
      return [json["charge_nanos"], (json["price"] as { cost_nanos: string }).cost_nanos];
    };
    expect(await chargeOf(answer.headers["x-request-id"])).toEqual(["20000000", "20000000"]);
    shop.simulator.setScenario({ text: "x", tokens: { prompt: 10, completion: 5 } });
    expect(await chargeOf((await shop.ask()).headers["x-request-id"])).toEqual(["65000000", "65000000"]);
  });

  test("a key that expires while its stream runs lets it end, and nothing begin", { timeout: 20_000 }, async () => {
    shop = await Shop.open("50.00", { events: 60, ratePerSecond: 60 }, { database: await newDatabase() });
    await shop.admin("PATCH", `keys/${shop.keyId}`, { expires_at: new Date(Date.now() + 400).toISOString() });
    expect(readStream(await shop.ask({ ...SMALL, max_tokens: 100 })).outcome).toBe("complete");
    expect(errorOf(await shop.ask()).code).toBe("key_expired");
    expect(await shop.rowWhere("end_reason = 'complete'")).toMatchObject({ basis: "exact" });
  });

  test("fifty requests at once under one Idempotency-Key are one run and one charge", async () => {
    shop = await Shop.open("50.00", { text: "x", ttftMs: 1_500, tokens: { prompt: 10, completion: 5 } }, { database: await newDatabase() });
    const named = { headers: { "idempotency-key": "order-1" } };
    const answers = await Promise.all(Array.from({ length: 50 }, () => shop.ask(SMALL, named)));
    expect(answers.filter(({ status }) => status === 200).length).toBe(1);
    expect(answers.filter(({ status }) => status === 409).length).toBe(49);
    expect(shop.simulator.counts.requests).toBe(1);
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(50n * DOLLAR - 20_000_000n), held_nanos: "0" });
  });

  test("what is refused for want of money uses up no limit, and the stock SDK does not ask again", async () => {
    const limits = tierForAll({ limits: { rpm: 5, tpm: 100_000, inFlight: 2 } });
    shop = await Shop.open("0", { text: "x" }, { database: await newDatabase(), limits });
    const client = new OpenAI7({ baseURL: `${shop.relay.url}/v1`, apiKey: shop.key, maxRetries: 3 });
    const asked = client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hello" }] });
    expect(await asked.catch((error: unknown) => error)).toMatchObject({ status: 402, code: "insufficient_credits" });
    await shop.rowWhere("status = 402");
    expect(await shop.relay.query("SELECT count(*) AS n FROM requests")).toEqual([{ n: 1n }]);
    for (let times = 0; times < 10; times++) {
      const refused = await shop.ask({ ...SMALL, stream: times % 2 === 0 });
      const { "x-ratelimit-remaining-requests": requests, "x-ratelimit-remaining-tokens": tokens } = refused.headers;
      expect([refused.status, requests, tokens]).toEqual([402, "5", "100000"]);
    }
    const models = await call({ port: shop.relay.port, key: shop.key }, { path: "/v1/models", method: "GET", body: null });
    expect(models.headers).toMatchObject({ "x-ratelimit-remaining-requests": "5", "x-ratelimit-remaining-tokens": "100000" });
    expect(shop.simulator.counts.requests).toBe(0);
  });
});

test("a stream that outgrows its key's budget ends with its name, without [DONE], and within it", { timeout: 20_000 }, async () => {
  shop = await Shop.open("500.00", { fault: { kind: "endless-stream" }, ratePerSecond: 3_000 }, { hold: "sliding" });
  await shop.admin("PATCH", `keys/${shop.keyId}`, { budgets: [{ period: "day", cap: "6.00" }] });
  const answer = await shop.ask({ model: "m", stream: true, messages: SMALL.messages });
  expect([errorOf(answer).code, answer.isWhole, answer.body.includes("[DONE]")]).toEqual(["budget_exceeded", false, false]);
  const row = await shop.rowWhere("error_code = 'budget_exceeded'");
  const [window] = await shop.relay.query("SELECT spent, held FROM budget_windows");
  expect(window).toEqual({ spent: row["charge_nanos"], held: 0n });
  expect(BigInt(String(row["charge_nanos"]))).toBeLessThanOrEqual(6n * DOLLAR);
});

test("tokens whose cost to us is not known are counted, and their row is marked and has no cost where 0 would be a lie", async () => {
  shop = await Shop.open("5.00", { text: "x", tokens: { prompt: 10, completion: 5 } });
  await shop.ask();
  expect(await shop.rowWhere("status = 200")).toMatchObject({ cost_nanos: null, charge_nanos: 20_000_000n, marks: "unpriced" });
  await shop.ask({ ...SMALL, max_tokens: 10_000_000 });
  expect(await shop.rowWhere("status = 402")).toMatchObject({ cost_nanos: null, marks: "" });
  const metrics = await call(shop.relay, { path: "/metrics", method: "GET", body: null });
  expect(metrics.body).toContain('millrace_unpriced_requests_total{model="m",upstream="a"} 1');
});

test.each(["openai-compatible", "deepseek"])("the same usage costs the same, streamed or not, wherever %s tells it", async (provider) => {
  shop = await Shop.open("500.00", {}, { upstream: { provider } });
  for (const usage of ["asked", "finish", "both", "every-chunk", "x_groq"] as const) {
    shop.simulator.setScenario({ text: "one two", usage, tokens: { prompt: 120, cached: 20, completion: 9, reasoning: 3 } });
    for (const stream of [true, false]) {
      const id = String((await shop.ask({ ...SMALL, stream })).headers["x-request-id"]);
      const { basis, charge_nanos: charge } = await shop.rowWhere(`id = '${id}'`);
      // 100 x 1,000,000 + 20 x 100,000 + 9 x 2,000,000 nano-USD
      expect([usage, stream, basis, charge]).toEqual([usage, stream, "exact", 120_000_000n]);
    }
  }
});
