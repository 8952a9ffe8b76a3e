import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newAccount } from "../../src/admission/accounts.ts";
import { newKeyRecord } from "../../src/admission/keys.ts";
import type { RequestRow } from "../../src/insight/row.ts";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { schemaSteps } from "../../src/store/schema/schema.ts";
import { DATABASES } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { row as plainRow } from "./row.ts";

const DAY = 86_400_000;
const NOON = 20_000 * DAY + DAY / 2;

function row(id: string, more: Partial<RequestRow> = {}): RequestRow {
  return plainRow(id, { at: NOON, marks: ["missing_done"], itlMaxMs: null, costNanos: "7", ...more });
}

describe.each(Object.entries(DATABASES))("%s", (name, newDatabase) => {
  let database: TestDatabase;
  let directories: string[];
  let open: Books[];
  const troubles: string[] = [];

  beforeEach(async () => {
    database = await newDatabase();
    directories = [];
    open = [];
  });
  afterEach(async () => {
    for (const books of open) await books.close();
    for (const directory of directories) rmSync(directory, { recursive: true });
  });

  async function books(dataDir = mkdtempSync(join(tmpdir(), "millrace-contract-"))): Promise<Books> {
    if (!directories.includes(dataDir)) directories.push(dataDir);
    const opened = await openBooks({
      dataDir,
      database: database.configIn(dataDir),
      durability: "process",
      onTrouble: (message) => troubles.push(message),
    });
    open.push(opened);
    return opened;
  }

  const query = (sql: string): Promise<Record<string, unknown>[]> => database.query(directories[0] ?? "", sql);

  test("rows that are acknowledged are stored, each once, however often and however many at once", async () => {
    const { rows, store } = await books();
    await Promise.all(Array.from({ length: 1_500 }, (_, i) => rows.record(row(`req_${i % 500}`))));
    expect(await query("SELECT count(*) AS n FROM requests")).toEqual([{ n: 500n }]);
    expect(await query("SELECT count(*) AS n FROM attempts")).toEqual([{ n: 500n }]);
    expect(store.waiting).toBe(0);
  });

  test("a row comes back as it went in", async () => {
    const { rows, store } = await books();
    await rows.record(row("req_1", { errorCode: "upstream_failed", model: "模型 \u{1f600} '\"", marks: ["mended", "redacted"] }));
    const file = await store.query("request", { id: "req_1", accountId: "default" });
    expect(file?.request).toMatchObject({
      at: NOON,
      isStream: true,
      ttftMs: 1.5,
      itlMaxMs: null,
      model: "模型 \u{1f600} '\"",
      costNanos: 7n,
    });
    expect(file?.attempts).toMatchObject([{ n: 1, outcome: "ok", inputTokens: 3, durationMs: 8 }]);
    expect(await store.query("request", { id: "req_1", accountId: "another" })).toBeNull();
  });

  test("sums follow the rows: by hour and by day, by account, key, model and upstream", async () => {
    const { rows } = await books();
    await Promise.all([
      ...Array.from({ length: 30 }, (_, i) => rows.record(row(`req_a${i}`, { at: NOON + i * 600_000 }))),
      ...Array.from({ length: 5 }, (_, i) =>
        rows.record(row(`req_b${i}`, { accountId: "other", errorCode: "upstream_failed", upstream: null })),
      ),
      rows.record(row("req_late", { at: NOON + DAY })),
    ]);
    await rows.record(row("req_a0"));
    const sums = await query(
      "SELECT period, account_id, upstream, sum(requests) AS requests, sum(errors) AS errors, sum(output_tokens) AS output, sum(cost_nanos) AS cost, count(*) AS n FROM usage_sums GROUP BY 1, 2, 3 ORDER BY 1, 2",
    );
    expect(sums.map((sum) => Object.values(sum).map(String))).toEqual([
      ["day", "default", "a", "31", "0", "124", "217", "2"],
      ["day", "other", "", "5", "5", "20", "35", "1"],
      ["hour", "default", "a", "31", "0", "124", "217", "6"],
      ["hour", "other", "", "5", "5", "20", "35", "1"],
    ]);
  });

  test("one bad row refuses only itself and waits in the spool file", async () => {
    const { rows } = await books();
    const bad = row("req_bad", { basis: "guessed" as RequestRow["basis"] });
    const kept = await Promise.all([rows.record(row("req_1")), rows.record(bad), rows.record(row("req_2"))]);
    expect(kept.map((one) => one.isStored)).toEqual([true, false, true]);
    expect(await query("SELECT count(*) AS n FROM requests")).toEqual([{ n: 2n }]);
    expect(readFileSync(join(directories[0] ?? "", "spool"), "utf8")).toContain("req_bad");
  });

  test("a list of writes is stored whole or not at all", async () => {
    const { store } = await books();
    const account = newAccount("shop", true, null, 1);
    const { record } = newKeyRecord("acc_nobody", "k", 1);
    const writes = [
      { kind: "account", account, before: null },
      { kind: "key", key: record, before: null },
    ] as const;
    expect(await store.write(writes)).not.toBeNull();
    expect((await store.query("records", { since: -1 })).accounts).toEqual([]);
    expect(await store.write([writes[0], { ...writes[1], key: { ...record, accountId: account.id } }])).toBeNull();
    const records = await store.query("records", { since: -1 });
    expect([records.accounts.length, records.keys.length, records.version]).toEqual([1, 1, 1]);
    expect((await store.query("records", { since: records.version })).keys).toEqual([]);
  });

  test("keys and accounts come back as they are, and a change that was decided on something else is not stored", async () => {
    const { store, access } = await books();
    const account = newAccount("shop", true, "gold", 1);
    await access.insertAccount(account);
    const { record } = newKeyRecord(account.id, "k", 1, {
      scopes: ["chat"],
      models: ["a", "b"],
      addresses: ["10.0.0.0/8"],
      limits: { rpm: 5 },
      budgets: [{ period: "day", capNanos: "5000000000" }],
    });
    await access.insert(record);
    const revoked = { ...record, revokedAt: 5 };
    expect(await store.write([{ kind: "key", key: revoked, before: record }])).toBeNull();
    const suspended = { ...account, status: "suspended" } as const;
    expect(await store.write([{ kind: "account", account: suspended, before: account }])).toBeNull();
    const late = [
      { kind: "account", account: { ...suspended, name: "store" }, before: suspended },
      { kind: "key", key: { ...record, name: "again" }, before: record },
    ] as const;
    expect(await store.write(late)).toMatchObject({ isOwn: true });
    const { accounts, keys } = await store.query("records", { since: -1 });
    expect(accounts).toMatchObject([{ ...account, status: "suspended" }]);
    expect(keys.map((key) => ({ ...key, sha256: Buffer.from(key.sha256) }))).toMatchObject([revoked]);
  });

  test("a database of a newer program is left alone", async () => {
    const first = await books();
    open = [];
    await first.close();
    const newer = schemaSteps(name === "SQLite" ? "sqlite" : "postgres").length + 1;
    if (name === "SQLite") {
      const { DatabaseSync } = await import("node:sqlite");
      const file = new DatabaseSync(join(directories[0] ?? "", "millrace.db"));
      file.exec(`PRAGMA user_version = ${newer}`);
      file.close();
    } else await query(`UPDATE millrace_schema SET version = ${newer}`);
    await expect(books(directories[0])).rejects.toThrow(`schema version ${newer}`);
  });

  test.runIf(name === "PostgreSQL")("relays that start at once on an empty database agree on who makes the tables", async () => {
    const all = await Promise.all([books(), books(), books()]);
    expect(await query("SELECT version FROM millrace_schema")).toEqual([{ version: BigInt(schemaSteps("postgres").length) }]);
    await Promise.all(all.map(({ rows }, i) => rows.record(row(`req_${i}`))));
    expect(await query("SELECT count(*) AS n FROM requests")).toEqual([{ n: 3n }]);
  });
});
