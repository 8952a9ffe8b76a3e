import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { newKeyRecord } from "../../src/admission/keys.ts";
import type { RequestRow } from "../../src/insight/row.ts";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { newPostgresSchema } from "../ledger/stores.ts";
import { postgresIsDue } from "../support/postgres.ts";
import { until } from "../simulator/raw-client.ts";
import { row } from "./row.ts";

let dataDir: string;
let troubles: string[];
let open: Books[];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "millrace-store-"));
  troubles = [];
  open = [];
});
afterEach(async () => {
  for (const store of open) await store.close();
  rmSync(dataDir, { recursive: true });
});

async function openStore(): Promise<Books> {
  const store = await openBooks({
    dataDir,
    database: { kind: "sqlite", path: join(dataDir, "millrace.db") },
    durability: "process",
    onTrouble: (message) => troubles.push(message),
  });
  open.push(store);
  return store;
}

async function closeStore(store: Books): Promise<void> {
  open = open.filter((each) => each !== store);
  await store.close();
}

function count(table: string): number {
  const database = new DatabaseSync(join(dataDir, "millrace.db"), { readOnly: true });
  const found = database.prepare(`SELECT count(*) AS n FROM ${table}`).get();
  database.close();
  return Number(found?.["n"]);
}

test("rows that are acknowledged are in the database, each once, however often they are written", async () => {
  const store = await openStore();
  await Promise.all(Array.from({ length: 3_000 }, (_, i) => store.rows.record(row(`req_${i % 1_000}`))));
  expect([count("requests"), count("attempts")]).toEqual([1_000, 1_000]);
  expect(store.rows.waiting).toBe(0);
  expect(troubles).toEqual([]);
});

test("one bad row refuses only itself and is kept in the spool file", async () => {
  const store = await openStore();
  const bad = row("req_bad", { basis: "guessed" as RequestRow["basis"] });
  await Promise.all([store.rows.record(row("req_1")), store.rows.record(bad), store.rows.record(row("req_2"))]);
  expect(count("requests")).toBe(2);
  expect(readFileSync(join(dataDir, "spool"), "utf8")).toContain("req_bad");
  expect(troubles.join()).toContain("spool file");
});

test("rows of a spool file are stored at the next start, and a torn last line is left out", async () => {
  await closeStore(await openStore());
  writeFileSync(join(dataDir, "spool"), `${JSON.stringify(row("req_spooled"))}\n`);
  appendFileSync(join(dataDir, "spool"), '{"id":"req_torn","at":');
  const store = await openStore();
  expect(count("requests")).toBe(1);
  await store.rows.record(row("req_spooled"));
  expect(count("requests")).toBe(1);
  expect(() => statSync(join(dataDir, "spool"))).toThrow("ENOENT");
});

test("while the database is locked by somebody else rows wait two seconds, then go to the spool file", { timeout: 20_000 }, async () => {
  const store = await openStore();
  const other = new DatabaseSync(join(dataDir, "millrace.db"));
  other.exec("BEGIN IMMEDIATE");
  const startedAt = performance.now();
  await store.rows.record(row("req_late"));
  expect(performance.now() - startedAt).toBeGreaterThan(1_900);
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  expect(readFileSync(join(dataDir, "spool"), "utf8")).toContain("req_late");
  other.exec("ROLLBACK");
  other.close();
  await until(() => count("requests") === 1, 8_000);
});

test(
  "a settlement that comes too late is charged for a stream, which was delivered, and not for a plain answer, which was not",
  { timeout: 20_000 },
  async () => {
    const { ledger, rows } = await openStore();
    const credit = {
      lotKind: "paid",
      priority: 100,
      isRefundable: true,
      expiresAtMs: null,
      reference: "top-up",
      reason: "t",
      actor: "t",
    } as const;
    await ledger.ask({ kind: "open_wallet", accountId: "acme", floorNanos: 0n });
    await ledger.ask({ kind: "credit", accountId: "acme", amountNanos: 1_000n, ...credit });
    const asked = { accountId: "acme", keyId: "key_1", model: "m", mode: "full", isMetered: true, budgetIds: [], priceId: "p" } as const;
    for (const id of ["req_stream", "req_plain"]) await ledger.ask({ kind: "hold", id, amountNanos: 100n, ...asked });
    const other = new DatabaseSync(join(dataDir, "millrace.db"));
    other.exec("BEGIN IMMEDIATE");
    const end = { kind: "settle", costNanos: 30n, basis: "exact", inputTokens: 3, outputTokens: 4, endReason: "complete" } as const;
    const kept = await Promise.all([
      rows.record(row("req_stream", { accountId: "acme" }), { ...end, id: "req_stream" }),
      rows.record(row("req_plain", { accountId: "acme", isStream: false, bytesOut: 0 }), { ...end, id: "req_plain" }),
    ]);
    expect(kept).toEqual([{ isStored: false }, { isStored: false }]);
    other.exec("ROLLBACK");
    other.close();
    await until(() => !["spool", "spool.taken"].some((name) => existsSync(join(dataDir, name))), 8_000);
    const result = await ledger.ask({ kind: "expire_lots", accountId: "acme" });
    expect(result.ok ? result.balances : result).toMatchObject({ balanceNanos: 970n, heldNanos: 0n });
    // Both had been stored after all, when the lock was gone and nobody waited any more: the rows say how it ended.
    const database = new DatabaseSync(join(dataDir, "millrace.db"), { readOnly: true });
    const read = (sql: string): unknown[] =>
      database
        .prepare(sql)
        .all()
        .map((each) => Object.values(each));
    expect(read("SELECT id, charge_nanos, error_code FROM requests ORDER BY id")).toEqual([
      ["req_plain", 0, "store_unavailable"],
      ["req_stream", 30, "store_unavailable"],
    ]);
    expect(read("SELECT requests, errors, charge_nanos FROM usage_sums WHERE period = 'day'")).toEqual([[2, 2, 30]]);
    expect(read("SELECT count(*) FROM attempts")).toEqual([[2]]);
    database.close();
  },
);

test("a data directory belongs to one process", async () => {
  const store = await openStore();
  await expect(openStore()).rejects.toThrow("another process uses");
  await closeStore(store);
  await openStore();
});

test.runIf(postgresIsDue())("a PostgreSQL that may forget is refused with its reason, and the directory is free again", async () => {
  const connection = await newPostgresSchema();
  const options = encodeURIComponent(connection.options ?? "");
  const url = `postgres://${connection.user}@${connection.host}:${connection.port}/${connection.database}?options=${options}`;
  const refused = openBooks({ dataDir, database: { kind: "postgres", url }, durability: "power", onTrouble: () => undefined });
  await expect(refused).rejects.toThrow('durability "power" needs fsync = on');
  await openStore();
});

test("a database of a newer program is left alone", async () => {
  await closeStore(await openStore());
  const database = new DatabaseSync(join(dataDir, "millrace.db"));
  database.exec("PRAGMA user_version = 999");
  database.close();
  await expect(openStore()).rejects.toThrow("schema version 999");
});

test("keys are kept by their hash, and the directory is for its owner alone", async () => {
  const store = await openStore();
  await store.access.insertAccount({ id: "default", name: "default", isMetered: false, tier: null, status: "active", createdAt: 1 });
  const { text, record } = newKeyRecord("default", "k", 1);
  await store.access.insert(record);
  const limited = { ...record, scopes: ["chat"], models: ["a", "b"], addresses: ["10.0.0.0/8"] };
  expect(await store.store.write([{ kind: "key", key: { ...limited, revokedAt: 5 }, before: record }])).toBeNull();
  const { keys } = await store.store.query("records", { since: -1 });
  expect(keys.map((key) => ({ ...key, sha256: Buffer.from(key.sha256) }))).toMatchObject([
    { ...record, revokedAt: 5, scopes: ["chat"], models: ["a", "b"], addresses: ["10.0.0.0/8"] },
  ]);
  await closeStore(store);
  const bytes = readFileSync(join(dataDir, "millrace.db"));
  expect(bytes.includes(Buffer.from(record.sha256))).toBe(true);
  expect(bytes.includes(text)).toBe(false);
});

test("a bad row without attempts is kept in the spool file too, and never acknowledged as stored", async () => {
  const store = await openStore();
  await store.rows.record(row("req_bad", { basis: "guessed" as RequestRow["basis"], attempts: [] }));
  expect(count("requests")).toBe(0);
  expect(readFileSync(join(dataDir, "spool"), "utf8")).toContain("req_bad");
});

test("a torn line in the middle of a spool file costs itself alone, and does not keep the relay from starting", async () => {
  await closeStore(await openStore());
  writeFileSync(join(dataDir, "spool"), `${JSON.stringify(row("req_1"))}\n{"id":"req_torn","at":\n${JSON.stringify(row("req_2"))}`);
  writeFileSync(join(dataDir, "spool.taken"), JSON.stringify(row("req_0")));
  await openStore();
  expect(count("requests")).toBe(3);
  expect(readFileSync(join(dataDir, "spool.bad"), "utf8")).toContain("req_torn");
  expect(troubles.join()).toContain("1 lines of the spool file cannot be stored and are in spool.bad; the first: it is no entry");
});

test(
  "where neither the database nor the spool takes a row no request may start, until one of them can again",
  { timeout: 20_000 },
  async () => {
    const store = await openStore();
    const other = new DatabaseSync(join(dataDir, "millrace.db"));
    other.exec("BEGIN IMMEDIATE");
    rmSync(join(dataDir, "spool.reserve"));
    mkdirSync(join(dataDir, "spool"));
    await expect(store.rows.record(row("req_nowhere"))).rejects.toThrow("the database took longer than 2 s; and the spool file");
    expect(store.rows.hasRoom).toBe(false);
    rmSync(join(dataDir, "spool"), { recursive: true });
    other.exec("ROLLBACK");
    other.close();
    await until(() => store.rows.hasRoom, 12_000);
    await until(() => count("requests") === 1, 12_000);
  },
);
