import { request } from "node:http";
import { parseUsd } from "@millrace/wire/money";
import { describe, expect, test } from "vitest";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, readStream } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";
import { timedBeside } from "../support/timed.ts";
import { costOf, DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("revoking a key cuts its streams within a second, and what they delivered is charged", async () => {
    shop = await Shop.open("500.00", { fault: { kind: "endless-stream" }, ratePerSecond: 100 }, { database: await newDatabase() });
    const spared = String((await shop.admin("POST", "keys", { account_id: shop.id }))["key"]);
    let bytes = 0;
    const answer = shop.ask({ ...SMALL, max_tokens: 5_000 }, { onBytes: (piece: Buffer) => (bytes += piece.length) });
    const leave = new AbortController();
    const other = shop.ask({ ...SMALL, max_tokens: 5_000 }, { signal: leave.signal }, spared).catch(() => null);
    await until(() => bytes > 3_000 && shop.simulator.counts.openRequests === 2);
    const revoked = shop.admin("DELETE", `keys/${shop.keyId}`);
    const idle = (): Promise<unknown> => call(shop.relay, { path: "/healthz", method: "GET", body: null });
    const { tookMs, slowestIdleMs } = await timedBeside(Promise.all([revoked, answer]), idle);
    const cut = await answer;
    expect(tookMs).toBeLessThan(900 + 5 * slowestIdleMs);
    expect([errorOf(cut).code, cut.isWhole, readStream(cut).outcome]).toEqual(["key_revoked", false, "error"]);
    expect(shop.simulator.counts.openRequests).toBe(1);
    const row = await shop.rowWhere("end_reason = 'key_revoked'");
    expect(row).toMatchObject({ basis: "estimated", error_code: "key_revoked" });
    expect(row["charge_nanos"]).toBe(costOf(row));
    expect((await shop.ask()).status).toBe(401);
    leave.abort();
    await other;
  });

  test("a key that is revoked while a body is under way is not served", async () => {
    shop = await Shop.open("500.00", { text: "x" }, { database: await newDatabase() });
    const body = JSON.stringify(SMALL);
    const sent = request({
      port: shop.relay.port,
      path: "/v1/chat/completions",
      method: "POST",
      headers: { authorization: `Bearer ${shop.key}`, "content-type": "application/json", "content-length": body.length },
    });
    const status = new Promise((resolve) => sent.on("response", (response) => resolve(response.resume().statusCode)));
    sent.write(body.slice(0, 20));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await shop.admin("DELETE", `keys/${shop.keyId}`);
    sent.end(body.slice(20));
    expect(await status).toBe(401);
    expect(shop.simulator.counts.requests).toBe(0);
  });

  test("of changes at the same time none undoes another: what is revoked or closed stays so", async () => {
    shop = await Shop.open("500.00", { text: "x" }, { database: await newDatabase() });
    for (let round = 0; round < 5; round++) {
      const made = await shop.admin("POST", "keys", { account_id: shop.id });
      const path = `keys/${String(made["id"])}`;
      const change = (method: string, body: object | null): ReturnType<typeof call> =>
        call(shop.relay, { method, path: `/admin/api/${path}`, body, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
      await Promise.all([change("PATCH", { name: "a" }), change("DELETE", null), change("PATCH", { name: "b" })]);
      expect((await shop.ask(SMALL, {}, String(made["key"]))).status).toBe(401);
      expect((await shop.admin("GET", path))["revoked_at"]).not.toBeNull();
    }
    const account = (body: object): ReturnType<typeof call> =>
      call(shop.relay, {
        method: "PATCH",
        path: `/admin/api/accounts/${shop.id}`,
        body,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
      });
    await Promise.all([account({ name: "x" }), account({ status: "closed" }), account({ name: "y" })]);
    expect(await shop.relay.query(`SELECT status FROM accounts WHERE id = '${shop.id}'`)).toEqual([{ status: "closed" }]);
    expect((await shop.ask()).status).toBe(403);
  });

  test("a key spends no more than its budget, however many requests come at once", async () => {
    shop = await Shop.open(
      "500.00",
      { text: "x", ttftMs: 500, tokens: { prompt: 100, completion: 10 } },
      { database: await newDatabase() },
    );
    // A hold is for less than 0.30 USD, a charge is 0.12.
    const budgets = [
      { period: "day", cap: "1.00" },
      { period: "total", cap: "100.00" },
    ];
    await shop.admin("PATCH", `keys/${shop.keyId}`, { budgets });
    const answers = await Promise.all(Array.from({ length: 40 }, () => shop.ask()));
    const refused = answers.filter((answer) => answer.status === 429);
    expect(refused.length).toBeGreaterThan(30);
    expect(errorOf(refused[0] ?? answers[0]!)).toMatchObject({ code: "budget_exceeded" });
    expect(errorOf(refused[0] ?? answers[0]!).message).toMatch(/budget of a day has .* USD left.* It begins anew at .*T00:00:00/);
    const [window] = await shop.relay.query("SELECT spent, held FROM budget_windows WHERE budget_id LIKE '%:day'");
    const served = BigInt(answers.filter((answer) => answer.status === 200).length);
    expect(window).toEqual({ spent: served * 120_000_000n, held: 0n });
    expect(shop.simulator.counts.requests).toBe(Number(served));
    for (let i = 0; i < 10; i++) await shop.ask();
    const [full] = await shop.relay.query("SELECT spent FROM budget_windows WHERE budget_id LIKE '%:day'");
    expect(BigInt(String(full?.["spent"]))).toBeLessThanOrEqual(DOLLAR);
    const last = await shop.ask();
    expect([last.status, last.headers["x-should-retry"]]).toEqual([429, "false"]);
    expect(Number(last.headers["retry-after"])).toBeLessThanOrEqual(60);
    expect(last.headers["x-ratelimit-limit-budget"]).toBe("1.00");
    expect(parseUsd(String(last.headers["x-ratelimit-remaining-budget"]))).toEqual({ value: DOLLAR - BigInt(String(full?.["spent"])) });
    expect(last.headers["x-ratelimit-reset-budget"]).toMatch(/^\d+m\d+s$/);
  });

  test("a key of an account that does not pay has a budget all the same, and its account owes nothing", async () => {
    shop = await Shop.open("5.00", { text: "x", tokens: { prompt: 100, completion: 10 } }, { database: await newDatabase() });
    const made = await shop.admin("POST", "keys", { account_id: "default", budgets: [{ period: "month", cap: "0.50" }] });
    const key = String(made["key"]);
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await shop.ask(SMALL, {}, key)).status);
    expect(statuses[0]).toBe(200);
    expect(statuses.at(-1)).toBe(429);
    expect((await shop.relay.row())["charge_nanos"]).toBeNull();
    expect(await shop.relay.query("SELECT id FROM transfers WHERE code LIKE 'usage%'")).toEqual([]);
  });
});
