import { readFileSync } from "node:fs";
import { readWrittenPrice } from "@millrace/policy/price-written";
import { describe, expect, test } from "vitest";
import { withId } from "../../src/prices/id.ts";
import { DATABASES } from "../support/databases.ts";
import { DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("a receipt shows tokens, price, arithmetic and transfers, and they add up", async () => {
    shop = await Shop.open("5.00", { text: "x", tokens: { prompt: 120, cached: 20, completion: 7 } }, { database: await newDatabase() });
    const id = String((await shop.ask()).headers["x-request-id"]);
    const { status, json } = await shop.get(`/v1/requests/${id}`);
    expect(status).toBe(200);
    expect(json).toMatchObject({
      id,
      object: "request",
      model: "m",
      end_reason: "complete",
      basis: "exact",
      usage: { input_tokens: 120, cached_input_tokens: 20, output_tokens: 7 },
      charge: "0.116",
      charge_nanos: "116000000",
      price: {
        lines: [
          { kind: "input", tokens: 100, usd_per_million_tokens: "1000", usd: "0.1" },
          { kind: "cached_input", tokens: 20, usd_per_million_tokens: "100", usd: "0.002" },
          { kind: "output", tokens: 7, usd_per_million_tokens: "2000", usd: "0.014" },
        ],
        exact: "0.116",
        cost_nanos: "116000000",
      },
      hold: { state: "settled", mode: "full", written_off_nanos: "0" },
      correction: null,
      transfers: [
        {
          id: `settle:${id}:promo`,
          debit: `wallet:${shop.id}`,
          credit: "revenue",
          amount_nanos: "116000000",
          balance_after_nanos: String(5n * DOLLAR - 116_000_000n),
        },
      ],
    });
  });

  test("a receipt is for the account that it is of, and for keys that may read it", async () => {
    shop = await Shop.open("5.00", { text: "x" }, { database: await newDatabase() });
    const id = String((await shop.ask()).headers["x-request-id"]);
    expect((await shop.get(`/v1/requests/${id}`, shop.relay.key)).status).toBe(404);
    expect((await shop.get("/v1/requests/req_none")).json).toMatchObject({ error: { code: "request_unknown" } });
    const limited = await shop.admin("POST", "keys", { account_id: shop.id, scopes: ["chat"] });
    expect((await shop.get(`/v1/requests/${id}`, String(limited["key"]))).status).toBe(403);
  });

  test("a request that nothing was charged for has a receipt, too", async () => {
    shop = await Shop.open("5.00", { fault: { kind: "status", status: 500 } }, { database: await newDatabase() });
    const failed = String((await shop.ask()).headers["x-request-id"]);
    const own = String((await shop.ask(SMALL, {}, shop.relay.key)).headers["x-request-id"]);
    await shop.relay.row(2);
    expect((await shop.get(`/v1/requests/${failed}`)).json).toMatchObject({
      charge_nanos: "0",
      basis: "none",
      hold: { state: "voided" },
      transfers: [],
    });
    expect((await shop.get(`/v1/requests/${own}`, shop.relay.key)).json).toMatchObject({ charge_nanos: null, hold: null, price: null });
  });
});

test("the worked example of the documents is what the relay charges", async () => {
  const text = readFileSync(new URL("../../../../docs/money.md", import.meta.url), "utf8");
  for (const words of ["121 tokens of input", "0.14, 0.0028 and 0.28 USD", "| 16,018.8 |", "| 16,019   |", "0.000016019 USD"])
    expect(text).toContain(words);
  const written = readWrittenPrice({ input: "0.14", cached_input: "0.0028", output: "0.28" });
  if (!("price" in written)) throw new Error("the example's price is wrong");
  const prices = { prices: new Map([["m", [withId("m", written.price)]]]), costs: new Map(), derived: new Map() };
  shop = await Shop.open("1.00", { text: "x", tokens: { prompt: 121, cached: 21, completion: 7 } }, { prices });
  const id = String((await shop.ask()).headers["x-request-id"]);
  const { json } = await shop.get(`/v1/requests/${id}`);
  expect(json).toMatchObject({
    charge: "0.000016019",
    price: {
      lines: [
        { kind: "input", tokens: 100, usd_per_million_tokens: "0.14", usd: "0.000014" },
        { kind: "cached_input", tokens: 21, usd_per_million_tokens: "0.0028", usd: "0.0000000588" },
        { kind: "output", tokens: 7, usd_per_million_tokens: "0.28", usd: "0.00000196" },
      ],
      exact: "0.0000160188",
    },
  });
  expect(await shop.balance()).toMatchObject({ balance_nanos: String(DOLLAR - 16_019n) });
});
