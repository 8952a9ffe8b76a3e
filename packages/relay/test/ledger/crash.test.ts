import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClientConfig } from "pg";
import { expect, test } from "vitest";
import type { LedgerStore } from "../../src/ledger/ledger.ts";
import type { Operation } from "../../src/ledger/operation.ts";
import type { FencingToken } from "../../src/ledger/unit.ts";
import { PostgresLedger } from "../../src/store/postgres/ledger.ts";
import { SqliteLedger } from "../../src/store/sqlite/ledger.ts";
import { BIGINT_TYPES } from "../../src/store/postgres/session.ts";
import pg from "pg";
import { postgresIsDue } from "../support/postgres.ts";
import { commitEach, credit, must, ORDER_NANOS } from "./operations.ts";
import { openSqlite } from "./sqlite-file.ts";
import { newPostgresSchema, sharedPostgres } from "./stores.ts";

const CYCLES = process.env["MILLRACE_LONG"] === "1" ? 100 : 12;
const CREDIT = 10n ** 12n;
const SEAT: FencingToken = { node: "crasher", epoch: 0, leaseMs: 10 ** 13 };
const FIRST: readonly Operation[] = [
  { kind: "open_wallet", accountId: "acme", floorNanos: 0n },
  credit("top-up-1", CREDIT),
  { kind: "set_budget", id: "daily", scope: "key_1", period: "total", capNanos: CREDIT },
];

interface Survivor extends Pick<LedgerStore<never>, "commit"> {
  audit(): ReturnType<SqliteLedger["audit"]> | ReturnType<PostgresLedger["audit"]>;
}

type Query = (sql: string) => Promise<Record<string, unknown>[]>;

/** The last that a killed process was told about each request. */
type Heard = Map<string, { readonly word: string; readonly nanos: bigint }>;

/** Runs the child until it has said enough, kills it, and returns what it heard; a torn last line was heard too, but not by us. */
async function killInTheMiddle(place: object, afterMs: number, kill: (pid: number) => Promise<void>): Promise<Heard> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "crash-child.ts"), JSON.stringify(place)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  const started = new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  const closed = new Promise((resolve) => child.once("close", resolve));
  await Promise.race([started, closed]);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  await kill(child.pid ?? 0);
  await closed;
  const heard: Heard = new Map();
  for (const line of output.split("\n").slice(0, -1)) {
    const [word = "", id = "", nanos = "0"] = line.split(" ");
    heard.set(id, { word, nanos: BigInt(nanos) });
  }
  return heard;
}

async function expectWhole(survivor: Survivor, query: Query, heard: Heard): Promise<void> {
  const [recovered] = await commitEach(survivor, SEAT, [{ kind: "recover", node: "crasher" }]);
  must(recovered);
  expect(await survivor.audit()).toEqual([]);
  const [wallet] = await query("SELECT held FROM wallets");
  expect(wallet?.["held"]).toBe(0n);
  const rows = new Map((await query("SELECT id, state, charged, checkpoint_charge FROM holds")).map((row) => [row["id"], row]));
  const paid = await query("SELECT id, amount FROM transfers WHERE code = 'topup' AND id LIKE 'credit:order%'");
  expect(paid.filter((row) => row["amount"] !== ORDER_NANOS)).toEqual([]);
  const orders = new Set(paid.map((row) => row["id"]));
  for (const [id, { word, nanos }] of heard) {
    if (word === "credited") {
      expect([id, orders.has(`credit:${id}`)]).toEqual([id, true]);
      continue;
    }
    const row = rows.get(id);
    if (row === undefined) throw new Error(`${id} was acknowledged as ${word} and is lost`);
    if (word === "settled" || word === "voided") expect([id, row["state"], row["charged"]]).toEqual([id, word, nanos]);
    // Later words may have been committed and not heard; a checkpoint that was heard is the least that is charged.
    else if (row["state"] === "recovered") expect([id, row["charged"]]).toEqual([id, row["checkpoint_charge"]]);
    if (word === "checkpoint" && row["state"] === "recovered") expect([id, row["charged"]]).toEqual([id, nanos]);
  }
}

function killChild(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  return Promise.resolve();
}

test(
  "SQLite: a process killed at any moment loses nothing acknowledged, charges nothing twice and leaves nothing held",
  { timeout: 15_000 * CYCLES },
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "millrace-crash-"));
    const path = join(directory, "ledger.db");
    try {
      for (let life = 0; life < CYCLES; life++) {
        if (life === 0) await prepareSqlite(path);
        const heard = await killInTheMiddle({ sqlite: path, life: `l${life}` }, Math.random() * 150, killChild);
        expect(heard.size).toBeGreaterThan(0);
        const database = openSqlite(path);
        const query: Query = async (sql) => {
          const statement = database.prepare(sql);
          statement.setReadBigInts(true);
          return statement.all();
        };
        await expectWhole(new SqliteLedger(database), query, heard);
        database.close();
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);

async function prepareSqlite(path: string): Promise<void> {
  const database = openSqlite(path);
  for (const result of await commitEach(new SqliteLedger(database), SEAT, FIRST)) must(result);
  database.close();
}

/** The same on PostgreSQL; `kill` ends the process, or the server under it. */
async function crashOnPostgres(cycles: number, kill: (pid: number) => Promise<void>): Promise<void> {
  const connection: ClientConfig = await newPostgresSchema();
  const prepared = new PostgresLedger({ connection });
  for (const result of await commitEach(prepared, SEAT, FIRST)) must(result);
  await prepared.close();
  for (let life = 0; life < cycles; life++) {
    const heard = await killInTheMiddle({ postgres: connection, life: `l${life}` }, Math.random() * 150, kill);
    expect(heard.size).toBeGreaterThan(0);
    const client = new pg.Client({ ...connection, types: BIGINT_TYPES });
    await client.connect();
    const survivor = new PostgresLedger({ connection });
    await expectWhole(survivor, async (sql) => (await client.query<Record<string, unknown>>(sql)).rows, heard);
    await survivor.close();
    await client.end();
  }
}

if (postgresIsDue()) {
  test(
    "PostgreSQL: a process killed at any moment loses nothing acknowledged, charges nothing twice and leaves nothing held",
    { timeout: 15_000 * CYCLES },
    async () => {
      await crashOnPostgres(CYCLES, killChild);
    },
  );

  test(
    "PostgreSQL: the same when the server crashes under it, comes back, and only then the process is killed",
    { timeout: 15_000 * CYCLES },
    async () => {
      const server = await sharedPostgres();
      await crashOnPostgres(CYCLES / 2, async (pid) => {
        await server.crash();
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
        await killChild(pid);
      });
    },
  );
}
