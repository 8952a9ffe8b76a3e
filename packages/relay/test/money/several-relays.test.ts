import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterEach, describe, expect, test } from "vitest";
import { Ledger } from "../../src/ledger/ledger.ts";
import { PostgresLedger } from "../../src/store/postgres/ledger.ts";
import { Sweeper } from "../../src/store/keeper/sweeper.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { postgresIsDue } from "../support/postgres.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { timedBeside } from "../support/timed.ts";
import { row as plainRow } from "../store/row.ts";
import { DOLLAR, PRICES, Shop, SMALL } from "./shop.ts";

const IS_LONG = process.env["MILLRACE_LONG"] === "1";
/** How many ask at once, and how long each that is let in keeps its hold: until all the others were refused. */
const CROWD = IS_LONG ? 1_000 : 300;
const ANSWERED_AFTER_MS = IS_LONG ? 10_000 : 4_000;

let shop: Shop;
let others: TestRelay[] = [];
afterEach(async () => {
  for (const other of others) await other.close();
  others = [];
  await shop.close();
});

async function besides(count: number): Promise<void> {
  const baseUrl = shop.simulator.url;
  for (let i = 0; i < count; i++) others.push(await startRelay({ upstreams: { a: { baseUrl } }, prices: PRICES, database: shop.database }));
}

describe.runIf(postgresIsDue())("several relays on one PostgreSQL", () => {
  const open = async (credit: string, scenario: object): Promise<void> => {
    shop = await Shop.open(credit, scenario, { database: await DATABASES["PostgreSQL"]!() });
  };

  test("what one of them changes the others know within a second, running streams included", async () => {
    await open("500.00", { fault: { kind: "endless-stream" }, ratePerSecond: 100 });
    await besides(1);
    const port = others[0]!.port;
    const made = await shop.admin("POST", "keys", { account_id: shop.id });
    const key = String(made["key"]);
    await until(() => others[0]!.app.keys.find(String(made["id"])) !== undefined, 1_000);
    let bytes = 0;
    const running = call({ port, key }, { body: { ...SMALL, max_tokens: 5_000 }, onBytes: (piece) => (bytes += piece.length) });
    await until(() => bytes > 2_000);
    const revoked = shop.admin("DELETE", `keys/${String(made["id"])}`);
    const idle = (): Promise<unknown> => call({ port, key }, { path: "/healthz", method: "GET", body: null });
    const { tookMs, slowestIdleMs } = await timedBeside(Promise.all([revoked, running]), idle);
    const cut = await running;
    expect(tookMs).toBeLessThan(1_400 + 5 * slowestIdleMs);
    expect(errorOf(cut).code).toBe("key_revoked");
    expect((await call({ port, key })).status).toBe(401);
    await shop.admin("PATCH", `accounts/${shop.id}`, { status: "suspended" });
    await until(() => others[0]!.app.accounts.get(shop.id)?.status === "suspended", 1_000);
    expect(errorOf(await call({ port, key: shop.key })).code).toBe("account_suspended");
  });

  test(`three of them admit no more than the credit covers, of ${CROWD} requests at once`, { timeout: 90_000 }, async () => {
    await open("1000.00", { text: "x", ttftMs: 500 });
    const probe = shop.ask();
    await until(() => shop.simulator.counts.openRequests === 1);
    const hold = BigInt((await shop.balance()).held_nanos);
    await probe;
    await shop.close();
    await open("0", { text: "x", ttftMs: ANSWERED_AFTER_MS });
    await besides(2);
    await until(() => others.every((other) => other.app.accounts.get(shop.id) !== undefined), 2_000);
    const tenHolds = `${(hold * 10n) / DOLLAR}.${String((hold * 10n) % DOLLAR).padStart(9, "0")}`;
    await shop.admin("POST", `accounts/${shop.id}/credits`, { amount: tenHolds, reason: "ten", reference: "ten" });
    const ports = [shop.relay.port, ...others.map((other) => other.port)];
    await until(() => others.every((other) => other.app.keys.find(shop.keyId) !== undefined), 2_000);
    const samples: bigint[] = [];
    const sampling = setInterval(
      () => void shop.balance().then((seen) => samples.push(BigInt(seen.balance_nanos) - BigInt(seen.held_nanos))),
      20,
    );
    const answers = await Promise.all(
      Array.from({ length: CROWD }, (_, i) => call({ port: ports[i % 3]!, key: shop.key }, { body: SMALL })),
    );
    clearInterval(sampling);
    expect(samples.length).toBeGreaterThan(10);
    expect(samples.filter((available) => available < 0n)).toEqual([]);
    expect(answers.filter((answer) => answer.status === 200).length).toBe(10);
    expect(answers.filter((answer) => answer.status === 402).length).toBe(CROWD - 10);
    expect(shop.simulator.counts.requests).toBe(10);
    expect((await shop.balance()).held_nanos).toBe("0");
  });

  test("a copied data directory is refused with what to do, and ends nobody's holds", { timeout: 40_000 }, async () => {
    await open("5.00", { events: 100, ratePerSecond: 8, tokens: { prompt: 10, completion: 5 } });
    const running = shop.ask();
    await until(() => shop.simulator.counts.openRequests === 1);
    const dataDir = mkdtempSync(join(tmpdir(), "millrace-copy-"));
    cpSync(join(shop.relay.dataDir, "node"), join(dataDir, "node"));
    const copy = { upstreams: { a: { baseUrl: shop.simulator.url } }, prices: PRICES, database: shop.database, dataDir };
    await expect(startRelay(copy)).rejects.toThrow(`remove the file ${join(dataDir, "node")}`);
    expect((await running).status).toBe(200);
    expect(await shop.relay.query("SELECT state FROM holds")).toEqual([{ state: "settled" }]);
    rmSync(join(dataDir, "node"));
    others.push(await startRelay(copy));
    expect((await call({ port: others[0]!.port, key: shop.key }, { body: SMALL })).status).toBe(200);
  });

  test("a relay that lost its name to another process holds no money until it has it again", { timeout: 40_000 }, async () => {
    await open("5.00", { text: "x", tokens: { prompt: 10, completion: 5 } });
    expect((await shop.ask()).status).toBe(200);
    const { url } = shop.database.configIn("") as { url: string };
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    const held = "FROM pg_locks WHERE locktype = 'advisory' AND granted";
    await other.query(`SELECT pg_terminate_backend(pid) ${held}`);
    await other.query("SELECT pg_advisory_lock(hashtextextended(id, 5742113902)) FROM nodes");
    expect(errorOf(await shop.ask()).code).toBe("store_unavailable");
    expect(shop.simulator.counts.requests).toBe(1);
    await other.end();
    await expect.poll(async () => (await shop.ask()).status, { timeout: 10_000 }).toBe(200);
    expect(await shop.relay.books.store.query("audit", {})).toEqual([]);
  });

  test("an Idempotency-Key that another relay frees while this one waits is free", { timeout: 40_000 }, async () => {
    await open("5.00", { text: "x" });
    const { ledger, store } = shop.relay.books;
    const hold = (id: string): ReturnType<typeof ledger.ask> => {
      const asked = { id, accountId: shop.id, keyId: shop.keyId, model: "m", priceId: "none", amountNanos: DOLLAR, mode: "full" } as const;
      return ledger.ask({ kind: "hold", ...asked, isMetered: true, budgetIds: [], idempotency: { key: "k", bodySha256: "sha" } });
    };
    expect((await hold("req_first")).ok).toBe(true);
    const { url } = shop.database.configIn("") as { url: string };
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    await other.query("BEGIN; SELECT * FROM wallets FOR UPDATE");
    const second = hold("req_second");
    const waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    await expect.poll(async () => (await other.query(waits)).rowCount, { timeout: 900, interval: 10 }).toBe(1);
    // What a void of the first one writes.
    await other.query(`UPDATE holds SET state = 'voided', charged = 0, basis = 'none', closed_at = created_at WHERE id = 'req_first';
      DELETE FROM idempotency_keys; UPDATE wallets SET held = 0; COMMIT`);
    await other.end();
    expect(await second).toMatchObject({ ok: true });
    expect(await shop.relay.query("SELECT hold_id FROM idempotency_keys")).toEqual([{ hold_id: "req_second" }]);
    expect(await store.query("audit", {})).toEqual([]);
  });

  test("the holds of a relay that died are ended by another one, at their last note; its late settlement is a correction", async () => {
    await open("5.00", { text: "x" });
    const { store, ledger } = shop.relay.books;
    const { url } = shop.database.configIn("") as { url: string };
    const itsOwn = new PostgresLedger({ connection: { connectionString: url } });
    const dead = await Ledger.open(itsOwn, { node: "dead", leaseMs: 300 });
    const asked = { id: "req_dead", accountId: shop.id, keyId: shop.keyId, model: "m", priceId: "none" };
    expect((await dead.ask({ kind: "hold", ...asked, amountNanos: DOLLAR, mode: "full", isMetered: true, budgetIds: [] })).ok).toBe(true);
    await dead.ask({ kind: "checkpoint", id: "req_dead", seq: 1, inputTokens: 5, outputTokens: 7, chargeNanos: 19_000_000n });
    await dead.close();
    await itsOwn.close();
    const troubles: string[] = [];
    const sweeper = new Sweeper({ store, ledger, deadAfterMs: 0, onTrouble: (message) => troubles.push(message) });
    await sweeper.sweep();
    expect((await shop.hold("req_dead"))["state"]).toBe("open");
    await new Promise((resolve) => setTimeout(resolve, 400));
    await sweeper.sweep();
    expect((await shop.hold("req_dead"))["state"]).toBe("open");
    await sweeper.sweep();
    expect(troubles.join()).toContain("the relay dead is gone: its 1 open holds are ended");
    expect(await shop.hold("req_dead")).toMatchObject({ state: "recovered", basis: "checkpoint", charged: 19_000_000n });
    expect(await shop.rowWhere("id = 'req_dead'")).toMatchObject({ marks: "recovered", basis: "checkpoint", charge_nanos: 19_000_000n });
    const row = plainRow("req_dead", { accountId: shop.id, keyId: shop.keyId });
    const ending = {
      kind: "settle",
      id: "req_dead",
      costNanos: 30_000_000n,
      basis: "exact",
      inputTokens: 5,
      outputTokens: 12,
      endReason: "complete",
    } as const;
    expect(await shop.relay.books.rows.record(row, ending)).toEqual({ isStored: true, chargedNanos: 30_000_000n, writtenOffNanos: 0n });
    expect(await shop.rowWhere("id = 'req_dead'")).toMatchObject({ marks: "", basis: "exact", charge_nanos: 30_000_000n });
    expect(
      await shop.relay.query(
        "SELECT sum(charge_nanos)::bigint AS charge, sum(requests)::bigint AS requests FROM usage_sums WHERE period = 'day'",
      ),
    ).toEqual([{ charge: 30_000_000n, requests: 1n }]);
    expect((await shop.balance()).balance_nanos).toBe(String(5n * DOLLAR - 30_000_000n));
    expect(await store.query("audit", {})).toEqual([]);
  });
});

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("credit that expires leaves a wallet that rests, too", async () => {
    shop = await Shop.open("0", { text: "x" }, { database: await newDatabase() });
    const { store, ledger } = shop.relay.books;
    const expires_at = new Date(Date.now() + 300).toISOString();
    await shop.admin("POST", `accounts/${shop.id}/credits`, { amount: "5.00", reason: "trial", reference: "trial", expires_at });
    const sweeper = new Sweeper({ store, ledger, deadAfterMs: null, onTrouble: (message) => expect(message).toBe("") });
    await sweeper.sweep();
    const wallet = `SELECT balance FROM wallets WHERE account_id = '${shop.id}'`;
    expect(await shop.relay.query(wallet)).toEqual([{ balance: 5n * DOLLAR }]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await sweeper.sweep();
    expect(await shop.relay.query(wallet)).toEqual([{ balance: 0n }]);
  });
});
