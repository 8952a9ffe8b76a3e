import { existsSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterEach, describe, expect, test } from "vitest";
import { call, errorOf, readStream } from "../support/call.ts";
import { urlOf } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { postgresIsDue, queryPostgres, startPostgres } from "../support/postgres.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { until } from "../simulator/raw-client.ts";
import { costOf, DOLLAR, PRICES, Shop, SMALL } from "./shop.ts";

let shop: Shop;
let server: TestPostgres;
let other: TestRelay | null = null;

afterEach(async () => {
  await other?.close();
  other = null;
  await shop.close();
  await server.stop();
});

async function database(): Promise<TestDatabase> {
  server = await startPostgres();
  return {
    configIn: () => ({ kind: "postgres", url: urlOf(server.connection) }),
    query: (_dataDir, sql) => queryPostgres(server.connection, sql),
  };
}

describe.runIf(postgresIsDue())("while PostgreSQL does not answer", () => {
  test("known keys work, who pays gets 503 at once, the others are served, and no row is lost", { timeout: 60_000 }, async () => {
    shop = await Shop.open("5.00", { text: "one two", tokens: { prompt: 10, completion: 5 } }, { database: await database() });
    expect((await shop.ask()).status).toBe(200);
    const start = await server.kill();
    expect((await shop.ask()).status).toBe(503);
    await until(() => shop.relay.books.store.trouble !== null);
    for (let i = 0; i < 20; i++) {
      const startedAt = performance.now();
      const refused = await shop.ask();
      expect(performance.now() - startedAt).toBeLessThan(500);
      expect([refused.status, errorOf(refused).code, Number(refused.headers["retry-after"]) > 0]).toEqual([503, "store_unavailable", true]);
    }
    const served = await Promise.all(Array.from({ length: 20 }, () => shop.ask(SMALL, {}, shop.relay.key)));
    expect(served.map((answer) => readStream(answer).outcome)).toEqual(Array.from({ length: 20 }, () => "complete"));
    expect(existsSync(join(shop.relay.dataDir, "spool"))).toBe(true);
    expect(shop.simulator.counts.requests).toBe(21);
    await start();
    await until(() => shop.relay.books.store.trouble === null, 10_000);
    expect((await shop.ask()).status).toBe(200);
    await until(() => !existsSync(join(shop.relay.dataDir, "spool")) && !existsSync(join(shop.relay.dataDir, "spool.taken")), 15_000);
    const rows = await shop.relay.query("SELECT end_reason, count(*) AS n FROM requests GROUP BY 1 ORDER BY 1");
    expect(rows).toEqual([
      { end_reason: "complete", n: 22n },
      { end_reason: "refused", n: 21n },
    ]);
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR - 2n * 20_000_000n), held_nanos: "0" });
  });

  test("a key that another relay made just before is told to wait, not that it is none", { timeout: 60_000 }, async () => {
    shop = await Shop.open("5.00", { text: "x" }, { database: await database() });
    const beside = await startRelay({ upstreams: { a: { baseUrl: shop.simulator.url } }, prices: PRICES, database: shop.database });
    other = beside;
    const askOther = (key: string): ReturnType<typeof call> => call({ port: beside.port, key }, { body: SMALL });
    expect(errorOf(await askOther("sk-nobodys-0123456789")).code).toBe("key_invalid");
    const key = String((await shop.admin("POST", "keys", { account_id: shop.id }))["key"]);
    const start = await server.kill();
    await until(() => beside.books.store.trouble !== null);
    const refused = await askOther(key);
    expect([refused.status, errorOf(refused).code, refused.headers["retry-after"]]).toEqual([503, "store_unavailable", "5"]);
    expect(errorOf(await askOther("no key at all")).code).toBe("key_malformed");
    await start();
    await expect.poll(async () => (await askOther(key)).status, { timeout: 10_000 }).toBe(200);
    expect(errorOf(await askOther("sk-nobodys-0123456789")).code).toBe("key_invalid");
  });

  test("a server that hangs makes nobody wait for more than seconds, and soon nobody at all", { timeout: 60_000 }, async () => {
    shop = await Shop.open("5.00", { text: "x", tokens: { prompt: 10, completion: 5 } }, { database: await database() });
    expect((await shop.ask()).status).toBe(200);
    const goOn = server.freeze();
    const takes = async (act: () => Promise<{ readonly status: number }>): Promise<[number, number]> => {
      const startedAt = performance.now();
      const { status } = await act();
      return [status, performance.now() - startedAt];
    };
    const asks = [() => shop.ask(), () => shop.get("/v1/balance"), () => shop.get("/v1/requests/req_x")];
    const first = await Promise.all(asks.map(takes));
    expect(first.filter(([status, ms]) => status !== 503 || ms > 3_500)).toEqual([]);
    await until(() => shop.relay.books.store.trouble !== null);
    const later = await Promise.all(asks.map(takes));
    expect(later.filter(([status, ms]) => status !== 503 || ms > 500)).toEqual([]);
    goOn();
    await until(() => shop.relay.books.store.trouble === null, 15_000);
    await expect.poll(async () => (await shop.ask()).status, { timeout: 10_000 }).toBe(200);
    await expect.poll(async () => (await shop.balance()).held_nanos, { timeout: 10_000 }).toBe("0");
    expect(await shop.relay.books.store.query("audit", {})).toEqual([]);
  });

  test("a stream whose hold cannot grow for want of a database says that what was sent is charged", { timeout: 60_000 }, async () => {
    const endless = { fault: { kind: "endless-stream" }, ratePerSecond: 400 } as const;
    shop = await Shop.open("500.00", endless, { database: await database(), hold: "sliding" });
    let bytes = 0;
    const running = shop.ask({ ...SMALL, max_tokens: 100_000 }, { onBytes: (piece: Buffer) => (bytes += piece.length) });
    await until(() => bytes > 2_000);
    const start = await server.kill();
    const cut = await running;
    expect(errorOf(cut).code).toBe("store_unavailable");
    expect(errorOf(cut).message).toContain("what was sent is charged");
    expect([cut.isWhole, cut.body.includes("[DONE]")]).toEqual([false, false]);
    await start();
    await expect.poll(async () => (await shop.balance()).held_nanos, { timeout: 20_000 }).toBe("0");
    const row = await shop.relay.row();
    expect(row).toMatchObject({ end_reason: "store_unavailable", basis: "estimated", charge_nanos: Number(costOf(row)) });
    expect(BigInt((await shop.balance()).balance_nanos)).toBe(500n * DOLLAR - costOf(row));
  });

  test("a log-in does not wait behind a summary", { timeout: 60_000 }, async () => {
    shop = await Shop.open("5.00", { text: "x" }, { database: await database() });
    const { store } = shop.relay.books;
    const locker = new pg.Client(server.connection);
    await locker.connect();
    await locker.query("BEGIN; LOCK TABLE lots IN ACCESS EXCLUSIVE MODE");
    const summary = store.query("audit", {});
    const startedAt = performance.now();
    expect(await store.query("member", { by: "id", value: "nobody" })).toBeNull();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await locker.end();
    expect(await summary).toEqual([]);
  });

  test(
    "a paid stream that is running ends without [DONE], and is charged once when the database is back",
    { timeout: 60_000 },
    async () => {
      shop = await Shop.open(
        "5.00",
        { events: 60, ratePerSecond: 60, tokens: { prompt: 10, completion: 60 } },
        { database: await database() },
      );
      let bytes = 0;
      const running = shop.ask({ ...SMALL, max_tokens: 100 }, { onBytes: (piece: Buffer) => (bytes += piece.length) });
      await until(() => bytes > 2_000);
      const start = await server.kill();
      const answer = await running;
      expect([errorOf(answer).code, answer.isWhole, answer.body.includes("[DONE]")]).toEqual(["store_unavailable", false, false]);
      await start();
      await until(() => !existsSync(join(shop.relay.dataDir, "spool")) && !existsSync(join(shop.relay.dataDir, "spool.taken")), 20_000);
      const row = await shop.relay.row();
      expect(row).toMatchObject({ end_reason: "store_unavailable", basis: "exact", output_tokens: 60 });
      expect(BigInt(String(row["charge_nanos"]))).toBe(costOf(row));
      expect(await shop.hold(row["id"])).toMatchObject({ state: "settled", charged: costOf(row) });
      expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR - costOf(row)), held_nanos: "0" });
      expect(await shop.relay.books.store.query("audit", {})).toEqual([]);
    },
  );

  test(
    "a server that is stopped in the middle of everything, again and again, loses no charge and makes none twice",
    { timeout: 90_000 },
    async () => {
      shop = await Shop.open(
        "500.00",
        { events: [5, 30], ratePerSecond: 200, tokens: { prompt: 10, completion: 5 } },
        { database: await database() },
      );
      const whole = new Set<string>();
      let isOver = false;
      const loops = Array.from({ length: 10 }, async () => {
        while (!isOver) {
          const answer = await shop.ask({ ...SMALL, max_tokens: 60 }).catch(() => null);
          if (answer?.status === 503) await new Promise((resolve) => setTimeout(resolve, 50));
          else if (answer !== null && readStream(answer).outcome === "complete") whole.add(String(answer.headers["x-request-id"]));
        }
      });
      for (let cycle = 0; cycle < 3; cycle++) {
        await new Promise((resolve) => setTimeout(resolve, 700));
        const start = await server.kill();
        await new Promise((resolve) => setTimeout(resolve, 300));
        await start();
        await until(() => shop.relay.books.store.trouble === null, 10_000);
      }
      isOver = true;
      await Promise.all(loops);
      await until(() => !existsSync(join(shop.relay.dataDir, "spool")) && !existsSync(join(shop.relay.dataDir, "spool.taken")), 20_000);
      expect(whole.size).toBeGreaterThan(50);
      const holds = await shop.relay.query("SELECT id, state, charged FROM holds");
      expect(holds.filter((hold) => hold["state"] === "open")).toEqual([]);
      const charged = new Map(holds.map((hold) => [String(hold["id"]), hold["charged"]]));
      for (const id of whole) expect([id, charged.get(id)]).toEqual([id, 20_000_000n]);
      const total = holds.reduce((sum, hold) => sum + BigInt(String(hold["charged"])), 0n);
      expect((await shop.balance()).balance_nanos).toBe(String(500n * DOLLAR - total));
      expect(await shop.relay.books.store.query("audit", {})).toEqual([]);
    },
  );
});
