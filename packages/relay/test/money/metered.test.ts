import { costNanos, priceIn } from "@millrace/policy/price";
import { readWrittenPrice } from "@millrace/policy/price-written";
import { afterEach, expect, test } from "vitest";
import { withId } from "../../src/ledger/price-id.ts";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { ADMIN_TOKEN, startRelay } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;
afterEach(() => relay.close());

/** One US dollar for a million tokens of input, two for output: 1,000 and 2,000 nano-USD a token. */
const written = readWrittenPrice({ input: "1000.00", cached_input: "100.00", output: "2000.00" });
if (!("price" in written)) throw new Error("the test's own price is wrong");
const HISTORY = [withId("m", written.price)];
const PRICES: NonNullable<RelaySetup["prices"]> = { prices: new Map([["m", HISTORY]]), costs: new Map(), derived: new Map() };

type Json = Record<string, unknown>;

async function admin(method: string, path: string, body?: unknown): Promise<Json> {
  const answer = await call(relay, {
    method,
    path: `/admin/api/${path}`,
    body: body ?? null,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  expect([answer.status < 300, answer.body]).toEqual([true, expect.any(String)]);
  return JSON.parse(answer.body) as Json;
}

/** A relay with a metered account that has so much. */
async function start(
  credit: string,
  scenario: Partial<Scenario>,
  more: Partial<RelaySetup["upstreams"][string]> = {},
): Promise<{ id: string; key: string }> {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario }, ...more } }, prices: PRICES });
  const account = await admin("POST", "accounts", { name: "shop", metered: true });
  const id = String(account["id"]);
  if (credit !== "0") await admin("POST", `accounts/${id}/credits`, { amount: credit, reason: "test", reference: "grant-1" });
  const made = await admin("POST", "keys", { account_id: id });
  return { id, key: String(made["key"]) };
}

const SMALL = { model: "m", stream: true, max_tokens: 20, messages: MESSAGES };

function ask(key: string, body: unknown = SMALL, more: object = {}): ReturnType<typeof call> {
  return call({ port: relay.port, key }, { body, ...more });
}

async function balanceOf(key: string): Promise<{ balance_nanos: string; held_nanos: string; available: string }> {
  return JSON.parse((await call({ port: relay.port, key }, { path: "/v1/balance", method: "GET", body: null })).body) as Awaited<
    ReturnType<typeof balanceOf>
  >;
}

const DOLLAR = 1_000_000_000n;

function costOf(row: Json): bigint {
  const price = priceIn(HISTORY, Date.now());
  if (price === null) throw new Error("no price");
  const [input, cachedInput, cacheWrite, output, reasoning] = ["input", "cached_input", "cache_write", "output", "reasoning"].map((kind) =>
    Number(row[`${kind}_tokens`]),
  );
  return costNanos(price, {
    input: input ?? 0,
    cachedInput: cachedInput ?? 0,
    cacheWrite: cacheWrite ?? 0,
    output: output ?? 0,
    reasoning: reasoning ?? 0,
  });
}

test.each([true, false])("a request costs what its usage costs, to the nano-dollar (streamed: %s)", async (stream) => {
  const { key } = await start("5.00", { text: "one two three four", tokens: { prompt: 120, cached: 20, completion: 7 } });
  const answer = await ask(key, { ...SMALL, stream });
  expect(answer.status).toBe(200);
  const row = await relay.row();
  expect(row).toMatchObject({ basis: "exact", input_tokens: 120, cached_input_tokens: 20, output_tokens: 7 });
  // 100 x 1,000,000 + 20 x 100,000 + 7 x 2,000,000 nano-USD
  expect(row["charge_nanos"]).toBe(116_000_000);
  expect(costOf(row)).toBe(116_000_000n);
  expect(await balanceOf(key)).toMatchObject({ balance_nanos: String(5n * DOLLAR - 116_000_000n), held_nanos: "0", available: "4.884" });
});

test("an account without enough credit gets 402, and no upstream hears of it", async () => {
  const { key } = await start("0", { text: "x" });
  const startedAt = performance.now();
  const answer = await ask(key);
  expect(performance.now() - startedAt).toBeLessThan(500);
  expect([answer.status, errorOf(answer)]).toMatchObject([402, { code: "insufficient_credits", type: "insufficient_quota" }]);
  expect(answer.headers["x-should-retry"]).toBe("false");
  expect(relay.simulators["a"]?.seen.length).toBe(0);
  expect(await relay.row()).toMatchObject({ end_reason: "refused", error_code: "insufficient_credits", status: 402, basis: "none" });
});

test(
  "a balance for exactly ten requests admits no more than ten of two hundred at once, and never goes below zero",
  { timeout: 30_000 },
  async () => {
    const { id, key } = await start("0", { text: "x", ttftMs: 4_000 });
    await admin("POST", `accounts/${id}/credits`, { amount: "1000.00", reason: "probe", reference: "probe" });
    const probe = ask(key);
    await until(() => (relay.simulators["a"]?.counts.openRequests ?? 0) === 1);
    const hold = BigInt((await balanceOf(key)).held_nanos);
    await probe;
    await relay.row();
    const left = BigInt((await balanceOf(key)).balance_nanos);
    await relay.close();

    const poor = await start("0", { text: "x", ttftMs: 4_000 });
    const tenHolds = `${(hold * 10n) / DOLLAR}.${String((hold * 10n) % DOLLAR).padStart(9, "0")}`;
    await admin("POST", `accounts/${poor.id}/credits`, { amount: tenHolds, reason: "ten", reference: "ten" });
    expect(left).toBeGreaterThan(0n);
    const samples: bigint[] = [];
    const sampling = setInterval(
      () => void balanceOf(poor.key).then((seen) => samples.push(BigInt(seen.balance_nanos) - BigInt(seen.held_nanos))),
      20,
    );
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(poor.key)));
    clearInterval(sampling);
    const statuses = answers.map((answer) => answer.status);
    expect(statuses.filter((status) => status === 200).length).toBe(10);
    expect(statuses.filter((status) => status === 402).length).toBe(190);
    expect(relay.simulators["a"]?.counts.requests).toBe(10);
    expect(samples.every((available) => available >= 0n)).toBe(true);
    expect((await balanceOf(poor.key)).held_nanos).toBe("0");
  },
);

test("an upstream's failure before any output costs the customer nothing", async () => {
  const { key } = await start("5.00", { fault: { kind: "status", status: 500 } });
  expect((await ask(key)).status).toBe(502);
  await relay.row();
  expect(await balanceOf(key)).toMatchObject({ balance_nanos: String(5n * DOLLAR), held_nanos: "0" });
});

test("a cut answer is charged by what was delivered, marked as an estimate", async () => {
  const { key } = await start("500.00", { events: 40, fault: { kind: "cut", bytes: 3_000 } });
  expect(errorOf(await ask(key, { ...SMALL, max_tokens: 200 })).code).toBe("upstream_truncated");
  const row = await relay.row();
  expect(row).toMatchObject({ basis: "estimated", end_reason: "upstream_truncated" });
  expect(BigInt(String(row["charge_nanos"]))).toBe(costOf(row));
  expect(await balanceOf(key)).toMatchObject({ balance_nanos: String(500n * DOLLAR - costOf(row)), held_nanos: "0" });
});

test("a client that leaves pays for what was delivered, and its hold ends", async () => {
  const { key } = await start("500.00", { fault: { kind: "endless-stream" }, ratePerSecond: 100 });
  const leave = new AbortController();
  await ask(key, { ...SMALL, max_tokens: 1_000 }, { signal: leave.signal, onBytes: () => leave.abort() }).catch(() => null);
  const row = await relay.row();
  expect(row).toMatchObject({ basis: "estimated", end_reason: "client_gone" });
  expect(BigInt(String(row["charge_nanos"]))).toBe(costOf(row));
  expect((await balanceOf(key)).held_nanos).toBe("0");
});

test("usage of zero costs nothing, and usage above the hold is charged no further than the balance", async () => {
  const { key } = await start("1.00", { text: "x", tokens: { prompt: 0, completion: 0 } });
  expect(readStream(await ask(key)).outcome).toBe("complete");
  expect((await relay.row())["charge_nanos"]).toBe(0);
  relay.simulators["a"]?.setScenario({ text: "x", tokens: { prompt: 5_000, completion: 5_000 } });
  expect(readStream(await ask(key)).outcome).toBe("complete");
  expect(await balanceOf(key)).toMatchObject({ balance_nanos: "0", held_nanos: "0" });
  expect((await ask(key)).status).toBe(402);
});

test("the same grant twice credits once, and a reference is not used for two", async () => {
  const { id, key } = await start("5.00", { text: "x" });
  const again = await admin("POST", `accounts/${id}/credits`, { amount: "5.00", reason: "test", reference: "grant-1" });
  expect(again).toMatchObject({ balance: "5.00", balance_nanos: String(5n * DOLLAR) });
  const other = await call(relay, {
    method: "POST",
    path: `/admin/api/accounts/${id}/credits`,
    body: { amount: "7.00", reason: "test", reference: "grant-1" },
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  expect(other.status).toBe(400);
  for (const amount of ["0", "-1.00", "1e3", "5,00", "0.0000000001", ""]) {
    const refused = await call(relay, {
      method: "POST",
      path: `/admin/api/accounts/${id}/credits`,
      body: { amount, reason: "test", reference: `bad-${amount}` },
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    expect([amount, refused.status]).toEqual([amount, 400]);
  }
  expect((await balanceOf(key)).balance_nanos).toBe(String(5n * DOLLAR));
});

test("a model without a price is refused to an account that pays, and free to one that does not", async () => {
  const { key } = await start("5.00", { text: "x" });
  await relay.close();
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "x" } } } } });
  const account = await admin("POST", "accounts", { name: "shop", metered: true });
  const made = await admin("POST", "keys", { account_id: account["id"] });
  expect(key).not.toBe(made["key"]);
  const refused = await ask(String(made["key"]));
  expect([refused.status, errorOf(refused).code]).toEqual([403, "model_not_allowed"]);
  expect((await call(relay)).status).toBe(200);
});

test("balances have DeepSeek's shape at DeepSeek's address, and an account that does not pay always has enough", async () => {
  const { key } = await start("4.20", { text: "x" });
  const ofKey = async (which: string): Promise<unknown> =>
    JSON.parse((await call({ port: relay.port, key: which }, { path: "/user/balance", method: "GET", body: null })).body);
  expect(await ofKey(key)).toEqual({
    is_available: true,
    balance_infos: [{ currency: "USD", total_balance: "4.20", granted_balance: "0.00", topped_up_balance: "4.20" }],
  });
  expect(await ofKey(relay.key)).toMatchObject({ is_available: true });
});
