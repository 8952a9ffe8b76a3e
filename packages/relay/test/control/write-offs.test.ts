/** What requests cost above what there was: how the operator sees it, and the customer. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, MESSAGES } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { PRICES } from "./configured.ts";
import { dataOf, jsonOf, startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

/** 5,000 tokens of each kind are 15 dollars by the price that accounts pay. */
const COSTLY = { text: "x", tokens: { prompt: 5_000, completion: 5_000 } };

describe.each(Object.entries(DATABASES))("on %s", (_name, open) => {
  let plane: ControlPlane;
  const accounts: Record<string, string> = {};

  beforeAll(async () => {
    plane = await startControlPlane({ database: await open(), prices: PRICES });
    let rows = 0;
    for (const [name, amount] of [
      ["shop", "1.00"],
      ["other", "2.50"],
      ["rich", "99.00"],
    ] as const) {
      const { id } = await plane.made("POST", "accounts", { name, metered: true });
      accounts[name] = String(id);
      await plane.made("POST", `accounts/${String(id)}/credits`, { amount, reason: "x", reference: name });
      const { key } = await plane.made("POST", "keys", { account_id: id });
      plane.relay.simulators["a"]?.setScenario(COSTLY);
      await call({ port: plane.relay.port, key: String(key) }, { body: { model: "m", max_tokens: 20, messages: MESSAGES } });
      await plane.relay.row(++rows);
    }
  }, 60_000);
  afterAll(() => plane.close());

  const writeOffs = (query = ""): Promise<Json[]> => plane.all(`write-offs${query}`, 1);
  const requestOf = async (name: string): Promise<string> =>
    String(dataOf(await plane.made("GET", `requests?account_id=${accounts[name] ?? ""}`))[0]?.["id"]);

  test("each is listed with its request, newest first, by account and time", async () => {
    const [other, shop] = await writeOffs();
    expect([other, shop]).toMatchObject([
      { account_id: accounts["other"], model: "m", basis: "exact", charged: "2.50", written_off: "12.50" },
      { account_id: accounts["shop"], model: "m", basis: "exact", charged: "1.00", written_off: "14.00", written_off_nanos: "14000000000" },
    ]);
    expect((await writeOffs()).length).toBe(2);
    const shown = await plane.made("GET", `requests/${String(shop?.["request_id"])}`);
    expect(shown).toMatchObject({ receipt: { charged: shop?.["charged"], written_off: shop?.["written_off"] } });
    expect(await writeOffs(`?account_id=${accounts["shop"] ?? ""}`)).toEqual([shop]);
    expect(await writeOffs("?to=2020-01-01T00:00:00Z")).toEqual([]);
    expect((await writeOffs("?from=2020-01-01T00:00:00Z")).length).toBe(2);
    for (const query of ["?from=yesterday", "?account_id=", "?model=m"])
      expect([query, (await plane.ask("GET", `write-offs${query}`)).status]).toEqual([query, 400]);
  });

  test("the sums of usage have them by day and hour, whatever they are grouped by", async () => {
    for (const every of ["hour", "day"]) {
      for (const by of ["account", "key", "model", "upstream"]) {
        const rows = await plane.all(`usage?every=${every}&by=${by}`, 1);
        const total = rows.reduce((sum, row) => sum + BigInt(String(row["written_off_nanos"])), 0n);
        expect([every, by, total]).toEqual([every, by, 26_500_000_000n]);
      }
    }
    const byAccount = await plane.all("usage?by=account");
    const written = Object.fromEntries(byAccount.map((row) => [String(row["group"]), row["written_off"]]));
    expect(written).toEqual({ [accounts["shop"] ?? ""]: "14.00", [accounts["other"] ?? ""]: "12.50", [accounts["rich"] ?? ""]: "0.00" });
    const own = await plane.all(`usage?account_id=${accounts["other"] ?? ""}`);
    expect(own.map((row) => row["written_off"])).toEqual(["12.50"]);
  });

  test("a statement tells them beside the balance, of which they are no part", async () => {
    expect(await plane.made("GET", `accounts/${accounts["shop"] ?? ""}/statement`)).toMatchObject({
      closing: "0.00",
      written_off: "14.00",
    });
    expect(await plane.made("GET", `accounts/${accounts["rich"] ?? ""}/statement`)).toMatchObject({
      closing: "84.00",
      written_off: "0.00",
    });
    const past = `accounts/${accounts["shop"] ?? ""}/statement?from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z`;
    expect(await plane.made("GET", past)).toMatchObject({ written_off: "0.00" });
  });

  test("a member sees those of its own account", async () => {
    const { token } = await plane.made("POST", "members", { name: "eve", role: "member", account_id: accounts["other"] });
    const asked = async (path: string): Promise<Json[]> => dataOf(jsonOf(await plane.ask("GET", path, { token: String(token) })));
    expect((await asked("write-offs")).map((row) => row["account_id"])).toEqual([accounts["other"]]);
    expect(await asked(`write-offs?account_id=${accounts["shop"] ?? ""}`)).toEqual([]);
    expect((await asked("usage")).map((row) => row["written_off"])).toEqual(["12.50"]);
  });

  test("a correction has the last word: one that lowers the cost takes it off the list, one that raises it puts it there", async () => {
    const { ledger } = plane.relay.books;
    const [other, rich] = [await requestOf("other"), await requestOf("rich")];
    expect(await ledger.ask({ kind: "correct", id: other, costNanos: 1_000_000_000n })).toMatchObject({ ok: true });
    expect(await ledger.ask({ kind: "correct", id: rich, costNanos: 100_000_000_000n })).toMatchObject({ ok: true });
    const listed = (await writeOffs()).map((row) => [row["account_id"], row["charged"], row["written_off"]]);
    expect(listed).toEqual([
      [accounts["rich"], "99.00", "1.00"],
      [accounts["shop"], "1.00", "14.00"],
    ]);
    expect((await plane.all("usage?by=model")).map((row) => row["written_off"])).toEqual(["15.00"]);
  });
});
