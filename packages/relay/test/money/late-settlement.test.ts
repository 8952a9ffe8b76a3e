/** Settlements that commit after the relay stopped waiting for them, and those of holds that another relay had ended by then. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, test } from "vitest";
import type { Ending, RequestRow } from "../../src/insight/row.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import { PostgresLedger } from "../../src/store/postgres/ledger.ts";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import { RowKeeper } from "../../src/store/keeper/row-keeper.ts";
import { Spool } from "../../src/store/keeper/spool.ts";
import type { Write } from "../../src/store/tables/writes.ts";
import { until } from "../simulator/raw-client.ts";
import { row } from "../store/row.ts";
import { DATABASES } from "../support/databases.ts";
import { DOLLAR, Shop, SMALL } from "./shop.ts";

const COST = 30_000_000n;
const CREDIT = 5n * DOLLAR;
const ID = "req_late";
type Ask = (operation: Operation, writes?: readonly Write[]) => Promise<Result>;

let shop: Shop;
let directory: string | null = null;
afterEach(async () => {
  await shop.close();
  if (directory !== null) rmSync(directory, { recursive: true });
  directory = null;
});

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not within 15 s: ${check.toString()}`);
    await later(20);
  }
}

async function holdBy(ledger: { ask: Ask }): Promise<void> {
  const held = await ledger.ask({
    kind: "hold",
    id: ID,
    accountId: shop.id,
    keyId: shop.keyId,
    model: "m",
    priceId: "none",
    amountNanos: DOLLAR,
    mode: "full",
    isMetered: true,
    budgetIds: [],
    idempotency: { key: "k", bodySha256: "sha" },
  });
  expect(held).toMatchObject({ ok: true });
}

/** Records through a keeper whose ledger does as `wrap` says, and waits until all of it is stored. */
async function record(isStream: boolean, wrap: (ask: Ask) => Ask): Promise<{ readonly kept: unknown; readonly troubles: string[] }> {
  const { store, ledger } = shop.relay.books;
  directory = mkdtempSync(join(tmpdir(), "millrace-late-"));
  const path = join(directory, "spool");
  const troubles: string[] = [];
  const ask = wrap((operation, writes) => ledger.ask(operation, writes));
  const keeper = new RowKeeper({ store, ledger: { ask }, spool: new Spool(path), onTrouble: (message) => troubles.push(message) });
  const draft: RequestRow = row(ID, {
    accountId: shop.id,
    keyId: shop.keyId,
    isStream,
    status: 200,
    at: Date.now(),
    bytesOut: isStream ? 100 : 0,
  });
  const end: Ending = { kind: "settle", id: ID, costNanos: COST, basis: "exact", inputTokens: 3, outputTokens: 4, endReason: "complete" };
  const kept = await keeper.record(draft, end);
  await later(1_500);
  await keeper.catchUp();
  await until(() => !existsSync(path) && !existsSync(`${path}.taken`), 10_000);
  await later(500);
  keeper.close();
  return { kept, troubles };
}

/** What each of the books says of the one request. */
async function story(): Promise<object> {
  const [stored] = await shop.relay.query(
    `SELECT status, end_reason, error_code, charge_nanos, output_tokens FROM requests WHERE id = '${ID}'`,
  );
  const [sum] = await shop.relay.query(
    "SELECT sum(requests) AS requests, sum(errors) AS errors, sum(charge_nanos) AS charge FROM usage_sums WHERE period = 'day' AND requests > 0",
  );
  const { json } = await shop.get(`/v1/requests/${ID}`);
  const { balance_nanos, held_nanos } = await shop.balance();
  const receipt = Object.fromEntries(["status", "end_reason", "error_code", "basis", "charge_nanos"].map((name) => [name, json[name]]));
  return { row: stored, sum: Object.values(sum ?? {}).map(String), receipt, wallet: [CREDIT - BigInt(balance_nanos), held_nanos] };
}

function told(status: number, charge: bigint): object {
  const end = { status, end_reason: "store_unavailable", error_code: "store_unavailable" };
  return {
    row: { ...end, status: BigInt(status), charge_nanos: charge, output_tokens: 4n },
    sum: ["1", "1", String(charge)],
    receipt: { ...end, basis: "exact", charge_nanos: String(charge) },
    wallet: [charge, "0"],
  };
}

async function keyIsFree(): Promise<boolean> {
  return (await shop.relay.query("SELECT * FROM idempotency_keys")).length === 0;
}

/** The settlement commits at once, and its answer comes when nobody waits any more; or it is asked that late. */
const ORDERS: Readonly<Record<string, (ask: Ask) => Ask>> = {
  "it commits before what was spooled": (ask) => {
    let isFirst = true;
    return async (operation, writes) => {
      const result = await ask(operation, writes);
      if (isFirst) await later(((isFirst = false), 2_500));
      return result;
    };
  },
  "what was spooled commits before it": (ask) => {
    let isFirst = true;
    return async (operation, writes) => {
      if (isFirst) await later(((isFirst = false), 4_500));
      return ask(operation, writes);
    };
  },
};

describe.each(Object.entries(DATABASES))("on %s", (name, newDatabase) => {
  const cases = [false, true].flatMap((isStream) => Object.keys(ORDERS).map((order) => [isStream, order] as const));
  test.each(cases)(
    "a late settlement (streamed: %s): row, sums, receipt and wallet agree when %s",
    { timeout: 30_000 },
    async (isStream, order) => {
      shop = await Shop.open("5.00", {}, { database: await newDatabase() });
      await holdBy(shop.relay.books.ledger);
      const { kept, troubles } = await record(isStream, ORDERS[order] ?? ((ask) => ask));
      expect(kept).toEqual({ isStored: false });
      expect(await story()).toEqual(isStream ? told(200, COST) : told(503, 0n));
      expect(await keyIsFree()).toBe(!isStream);
      expect(troubles).toEqual([`row ${ID} went to the spool file: the database took longer than 2 s`]);
    },
  );

  test.runIf(name === "PostgreSQL").each(["", ...Object.keys(ORDERS)])(
    "a plain answer whose hold a peer had ended is not sent and costs nothing, also when %s",
    { timeout: 30_000 },
    async (order) => {
      shop = await Shop.open("5.00", {}, { database: await newDatabase() });
      const { ledger } = shop.relay.books;
      const { url } = shop.database.configIn("") as { url: string };
      const itsOwn = new PostgresLedger({ connection: { connectionString: url } });
      const slow = await Ledger.open(itsOwn, { node: "slow", leaseMs: 300 });
      await holdBy(slow);
      await slow.close();
      await itsOwn.close();
      await eventually(async () => (await ledger.ask({ kind: "recover", node: "slow" })).ok);
      // Only the correction is late.
      const wrap = (ask: Ask): Ask => {
        const slowly = (ORDERS[order] ?? ((same) => same))(ask);
        return (operation, writes) => (operation.kind === "correct" ? slowly(operation, writes) : ask(operation, writes));
      };
      expect((await record(false, wrap)).kept).toEqual({ isStored: false });
      expect(await story()).toEqual(told(503, 0n));
      expect(await keyIsFree()).toBe(true);
    },
  );

  test.runIf(name === "SQLite")(
    "a plain answer that was not sent frees its Idempotency-Key, though its settlement was stored",
    { timeout: 30_000 },
    async () => {
      shop = await Shop.open("5.00", { text: "x", tokens: { prompt: 10, completion: 5 }, plainMs: 500, ttftMs: 500 });
      const more = { headers: { "idempotency-key": "k1" } };
      const lock = new DatabaseSync(join(shop.relay.dataDir, "millrace.db"));
      const running = shop.ask({ ...SMALL, stream: false }, more);
      await until(() => shop.simulator.counts.openRequests === 1);
      lock.exec("BEGIN IMMEDIATE");
      expect((await running).status).toBe(503);
      lock.exec("COMMIT");
      lock.close();
      await eventually(async () => (await shop.relay.query("SELECT * FROM requests WHERE status = 503")).length === 1);
      expect((await shop.ask({ ...SMALL, stream: false }, more)).status).toBe(200);
    },
  );
});
