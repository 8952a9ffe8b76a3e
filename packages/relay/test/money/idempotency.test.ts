import { describe, expect, test } from "vitest";
import { until } from "../simulator/raw-client.ts";
import { errorOf } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

const named = (key: string): object => ({ headers: { "idempotency-key": key } });

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test.each([true, false])("the same Idempotency-Key runs and costs once (streamed: %s)", async (stream) => {
    shop = await Shop.open("5.00", { text: "x", ttftMs: 300, tokens: { prompt: 10, completion: 5 } }, { database: await newDatabase() });
    const body = { ...SMALL, stream };
    const first = shop.ask(body, named("order-1"));
    await until(() => shop.simulator.counts.openRequests === 1);
    const second = await shop.ask(body, named("order-1"));
    expect([second.status, errorOf(second).code]).toEqual([409, "idempotency_in_progress"]);
    expect(second.headers["x-should-retry"]).toBeUndefined();
    expect((await first).status).toBe(200);
    const third = await shop.ask(body, named("order-1"));
    expect([third.status, errorOf(third).code, third.headers["x-should-retry"]]).toEqual([410, "stream_lost", "false"]);
    expect(errorOf(third).message).toContain(String((await first).headers["x-request-id"]));
    const other = await shop.ask({ ...body, max_tokens: 21 }, named("order-1"));
    expect([other.status, errorOf(other).code, other.headers["x-should-retry"]]).toEqual([422, "idempotency_mismatch", "false"]);
    expect(shop.simulator.counts.requests).toBe(1);
    expect((await shop.balance()).balance_nanos).toBe(String(5n * DOLLAR - 20_000_000n));
  });

  test("a request that failed before any output may be sent again under its key", async () => {
    shop = await Shop.open("5.00", { fault: { kind: "status", status: 500 } }, { database: await newDatabase() });
    expect((await shop.ask(SMALL, named("order-2"))).status).toBe(502);
    shop.simulator.setScenario({ text: "x" });
    expect((await shop.ask(SMALL, named("order-2"))).status).toBe(200);
    expect((await shop.ask(SMALL, named("order-2"))).status).toBe(410);
  });

  test("accounts that do not pay have keys of their own, which cost nothing", async () => {
    shop = await Shop.open("5.00", { text: "x" }, { database: await newDatabase() });
    expect((await shop.ask(SMALL, named("order-3"))).status).toBe(200);
    expect((await shop.ask(SMALL, named("order-3"), shop.relay.key)).status).toBe(200);
    const again = await shop.ask(SMALL, named("order-3"), shop.relay.key);
    expect([again.status, errorOf(again).code]).toEqual([410, "stream_lost"]);
    expect((await shop.relay.row(2))["charge_nanos"]).toBeNull();
    expect((await shop.hold((await shop.relay.row(2))["id"])).wallet_id).toBeNull();
  });
});

test.each(["", " ", "two words", "\u00e9", "x".repeat(256)])("an Idempotency-Key that is none is refused: %j", async (key) => {
  shop = await Shop.open("5.00", { text: "x" });
  const answer = await shop.ask(SMALL, named(key));
  expect([answer.status, errorOf(answer).code, errorOf(answer).param]).toEqual([400, "invalid_request", "idempotency-key"]);
});
