/** What can be read of requests, usage, money, prices and tiers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { PRICES, TIERS } from "./configured.ts";
import { dataOf, jsonOf, startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

describe.each(Object.entries(DATABASES))("on %s", (_name, open) => {
  let plane: ControlPlane;
  let shop: string;
  let key: { id: string; key: string };
  let member: string;

  beforeAll(async () => {
    plane = await startControlPlane({ database: await open(), limits: TIERS, prices: PRICES });
    shop = String((await plane.made("POST", "accounts", { name: "shop", metered: true }))["id"]);
    await plane.made("POST", `accounts/${shop}/credits`, {
      amount: "5.00",
      reason: "one",
      reference: "g1",
      expires_at: "2099-01-01T00:00:00Z",
    });
    await plane.made("POST", `accounts/${shop}/credits`, { amount: "2.00", reason: "two", reference: "g2" });
    key = (await plane.made("POST", "keys", { account_id: shop })) as typeof key;
    for (let i = 0; i < 3; i++) await send(key.key, { model: "m", max_tokens: 10, messages: MESSAGES });
    await send(key.key, { model: "unheard-of", messages: MESSAGES });
    await send(plane.relay.key, { model: "m", messages: MESSAGES });
    await plane.relay.row(5);
    member = String((await plane.made("POST", "members", { name: "eve", role: "member", account_id: shop }))["token"]);
  }, 60_000);
  afterAll(() => plane.close());

  async function send(text: string, body: Json): Promise<void> {
    await call({ port: plane.relay.port, key: text }, { body });
  }

  const sum = (rows: readonly Json[], name: string): bigint => rows.reduce((total, row) => total + BigInt(String(row[name])), 0n);

  test("requests are listed newest first, page by page, by what is asked for", async () => {
    const all = await plane.all("requests", 2);
    expect(all.length).toBe(5);
    expect(all.map((row) => String(row["at"]))).toEqual(
      all
        .map((row) => String(row["at"]))
        .toSorted()
        .toReversed(),
    );
    expect(new Set(all.map((row) => row["id"])).size).toBe(5);
    const count = async (query: string): Promise<number> => (await plane.all(`requests?${query}`)).length;
    expect(await count(`account_id=${shop}`)).toBe(4);
    expect(await count(`key_id=${key.id}`)).toBe(4);
    expect(await count("model=m")).toBe(4);
    expect(await count("status=404")).toBe(1);
    expect(await count("end_reason=refused")).toBe(1);
    expect(await count("to=2020-01-01T00:00:00Z")).toBe(0);
    expect(await count("from=2020-01-01T00:00:00%2B02:00")).toBe(5);
    expect(await count(`account_id=${shop}&model=m&status=200&end_reason=complete`)).toBe(3);
    for (const query of ["status=x", "from=yesterday", "model=", "cursor=xyz", "limit=0", "tenant=1"])
      expect([query, (await plane.ask("GET", `requests?${query}`)).status]).toEqual([query, 400]);
  });

  test("a request has its attempts and its receipt; one that no money was set aside for has none", async () => {
    const [paid] = dataOf(await plane.made("GET", `requests?account_id=${shop}&status=200&limit=1`));
    const shown = await plane.made("GET", `requests/${String(paid?.["id"])}`);
    expect(shown).toMatchObject({
      id: paid?.["id"],
      charge_nanos: paid?.["charge_nanos"],
      attempts: [{ n: 1, upstream: "a", outcome: "ok", status: 200 }],
    });
    const receipt = shown["receipt"] as Json;
    expect(receipt).toMatchObject({
      state: "settled",
      charged_nanos: paid?.["charge_nanos"],
      correction: null,
      price: { id: paid?.["price_id"], cost_nanos: paid?.["charge_nanos"] },
    });
    expect(dataOf({ data: receipt["transfers"] })).toMatchObject([
      { request_id: paid?.["id"], amount_nanos: `-${String(paid?.["charge_nanos"])}` },
    ]);
    expect(BigInt(String(paid?.["charge_nanos"]))).toBe(2n * BigInt(String(paid?.["cost_nanos"])));
    const [refused] = dataOf(await plane.made("GET", "requests?status=404"));
    expect(await plane.made("GET", `requests/${String(refused?.["id"])}`)).toMatchObject({ attempts: [], receipt: null });
    expect((await plane.ask("GET", "requests/req_none")).status).toBe(404);
  });

  test("usage adds up to its requests, whatever it is grouped by", async () => {
    const requests = await plane.all("requests");
    for (const every of ["hour", "day"]) {
      for (const by of ["account", "key", "model", "upstream"]) {
        const rows = await plane.all(`usage?by=${by}&every=${every}`, 1);
        expect([by, every, sum(rows, "requests"), sum(rows, "errors")]).toEqual([by, every, 5n, 1n]);
        expect(sum(rows, "charge_nanos")).toBe(
          sum(
            requests.filter((row) => row["charge_nanos"] !== null),
            "charge_nanos",
          ),
        );
        expect(sum(rows, "cost_nanos")).toBe(
          sum(
            requests.filter((row) => row["cost_nanos"] !== null),
            "cost_nanos",
          ),
        );
        expect(sum(rows, "output_tokens")).toBe(sum(requests, "output_tokens"));
      }
    }
    const groups = async (query: string): Promise<unknown[]> => (await plane.all(`usage?${query}`)).map((row) => row["group"]);
    expect(await groups("by=account")).toEqual([shop, "default"].toSorted());
    expect(await groups(`by=upstream&account_id=${shop}`)).toEqual([null, "a"]);
    expect(await groups("to=2020-01-01T00:00:00Z")).toEqual([]);
  });

  test.each([
    ["by=tenant"],
    ["every=minute"],
    ["from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"],
    ["every=hour&from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z"],
    ["from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"],
  ])("usage over too much, or of what is not kept, is refused: %s", async (query) => {
    expect((await plane.ask("GET", `usage?${query}`)).status).toBe(400);
  });

  test("a member sees what it was charged, and not what it cost us", async () => {
    for (const path of ["requests?status=200&limit=1", "usage?by=model"]) {
      const [row] = dataOf(jsonOf(await plane.ask("GET", path, { token: member })));
      expect(row).toMatchObject({ cost: null, cost_nanos: null });
      expect(BigInt(String(row?.["charge_nanos"]))).toBeGreaterThan(0n);
    }
  });

  test("ledger, credits and statement of an account say the same as its balance", async () => {
    const balance = await plane.made("GET", `accounts/${shop}/balance`);
    const transfers = await plane.all(`accounts/${shop}/ledger`, 2);
    expect(transfers.map((row) => row["seq"])).toEqual([5, 4, 3, 2, 1]);
    expect(transfers.map((row) => row["code"]).toReversed()).toEqual(["comp", "comp", "usage_promo", "usage_promo", "usage_promo"]);
    expect(sum(transfers, "amount_nanos")).toBe(BigInt(String(balance["balance_nanos"])));
    expect(transfers[0]?.["balance_after_nanos"]).toBe(balance["balance_nanos"]);
    const lots = await plane.all(`accounts/${shop}/credits`, 1);
    expect(lots.map((lot) => lot["reference"])).toEqual(["g2", "g1"]);
    expect(sum(lots, "remaining_nanos")).toBe(BigInt(String(balance["balance_nanos"])));
    expect(lots[1]).toMatchObject({ amount: "5.00", kind: "comp", expires_at: "2099-01-01T00:00:00.000Z", refundable: false });
    const statement = await plane.made("GET", `accounts/${shop}/statement?from=2020-01-01T00:00:00Z`);
    expect(statement).toMatchObject({ opening: "0.00", closing_nanos: balance["balance_nanos"], from: "2020-01-01T00:00:00.000Z" });
    expect(sum(dataOf({ data: statement["by_code"] }), "amount_nanos")).toBe(BigInt(String(balance["balance_nanos"])));
    const usage = dataOf({ data: statement["by_code"] }).filter((row) => String(row["code"]).startsWith("usage"));
    const charged = (await plane.all(`requests?account_id=${shop}`)).filter((row) => row["charge_nanos"] !== null);
    expect(sum(usage, "amount_nanos")).toBe(-sum(charged, "charge_nanos"));
    expect(charged.length).toBe(3);
    const past = await plane.made("GET", `accounts/${shop}/statement?from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z`);
    expect(past).toMatchObject({ opening: "0.00", by_code: [], closing: "0.00" });
    expect((await plane.ask("GET", `accounts/${shop}/statement?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z`)).status).toBe(400);
  });

  test("an account that does not pay has no money to show", async () => {
    expect(await plane.made("GET", "accounts/default/ledger")).toEqual({ data: [], next: null });
    expect(await plane.made("GET", "accounts/default/credits")).toEqual({ data: [], next: null });
    const answer = await plane.ask("POST", "accounts/default/adjustments", { body: { amount: "1.00", reason: "x", reference: "y" } });
    expect([answer.status, errorOf(answer).message]).toEqual([400, "This account is not metered: it needs no credit."]);
  });

  test("an adjustment moves a balance once, down below nothing too, by the owner alone", async () => {
    const { id } = await plane.made("POST", "accounts", { name: "adjusted", metered: true });
    const adjust = (amount: string, reference: string, token?: string): ReturnType<ControlPlane["ask"]> =>
      plane.ask("POST", `accounts/${String(id)}/adjustments`, {
        body: { amount, reason: "charge-back", reference },
        ...(token === undefined ? {} : { token }),
      });
    expect(jsonOf(await adjust("-1.50", "a1"))).toMatchObject({ balance: "-1.50" });
    expect(jsonOf(await adjust("-1.50", "a1"))).toMatchObject({ balance: "-1.50" });
    expect(jsonOf(await adjust("2.00", "a2"))).toMatchObject({ balance: "0.50" });
    expect((await adjust("1.00", "a2")).status).toBe(400);
    for (const amount of ["0", "1e3", "1.0000000001", "999999999999999", "five"])
      expect([amount, (await adjust(amount, "a3")).status]).toEqual([amount, 400]);
    const operator = await plane.made("POST", "members", { name: "op", role: "operator" });
    expect((await adjust("1.00", "a4", String(operator["token"]))).status).toBe(403);
    expect(dataOf(await plane.made("GET", `accounts/${String(id)}/ledger`))[0]).toMatchObject({
      code: "adjust",
      actor: "owner",
      reason: "charge-back",
    });
  });

  test("a closed account takes no credit and no adjustment up; what was given before is answered as it was, and down is possible", async () => {
    const { id } = await plane.made("POST", "accounts", { name: "gone", metered: true });
    const account = `accounts/${String(id)}`;
    const given = { amount: "2.00", reason: "x", reference: "gone 1" };
    const raised = { amount: "1.00", reason: "x", reference: "gone 2" };
    await plane.made("POST", `${account}/credits`, given);
    await plane.made("POST", `${account}/adjustments`, raised);
    await plane.made("PATCH", account, { status: "closed" });
    const told = async (path: string, body: Json): Promise<unknown> => {
      const answer = await plane.ask("POST", `${account}/${path}`, { body });
      return [answer.status, answer.status === 201 ? jsonOf(answer)["balance"] : errorOf(answer).message];
    };
    const refused = [400, "This account is closed for good: nobody could use the credit."];
    expect(await told("credits", { ...given, reference: "gone 3" })).toEqual(refused);
    expect(await told("adjustments", { ...raised, reference: "gone 4" })).toEqual(refused);
    expect(await told("credits", given)).toEqual([201, "3.00"]);
    expect(await told("adjustments", raised)).toEqual([201, "3.00"]);
    expect(await told("adjustments", { amount: "-3.00", reason: "paid back", reference: "gone 5" })).toEqual([201, "0.00"]);
    expect((await plane.made("GET", `${account}/ledger`))["data"]).toHaveLength(3);
  });

  test("prices say what holds, since when, and where from", async () => {
    const rows = await plane.all("prices", 50);
    expect(rows[0]).toMatchObject({
      kind: "price",
      model: "m",
      upstream: null,
      versions: [
        { source: "configuration", rates: { input: "1000.00", cached_input: "100.00", output: "2000.00", reasoning: "2000.00" } },
        { source: "markup", rates: { input: "500.00" }, markup_ppm: "1500000" },
      ],
    });
    expect(rows[0]?.["current_id"]).toBe(dataOf({ data: rows[0]?.["versions"] })[0]?.["id"]);
    expect(rows.find((row) => row["kind"] === "cost" && row["upstream"] === "a")).toMatchObject({
      model: "m",
      versions: [{ source: "configuration", read_from: null }],
    });
    const shipped = rows.filter((row) => row["upstream"] === "deepseek");
    expect(shipped.length).toBeGreaterThan(0);
    for (const row of shipped)
      expect(dataOf({ data: row["versions"] })[0]).toMatchObject({
        source: "shipped",
        read_from: { date: expect.stringMatching(/^20/) as string },
      });
  });

  test("tiers are as the configuration has them", async () => {
    expect(await plane.made("GET", "tiers")).toEqual({
      data: [
        {
          name: "gold",
          default: false,
          limits: { rpm: 1_000, tpm: null, in_flight: null },
          models: ["m"],
          per_model: [{ model: "m", limits: { rpm: null, tpm: null, in_flight: 9 } }],
        },
      ],
      next: null,
    });
  });
});
