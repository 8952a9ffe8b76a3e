import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { walkAudit } from "../../src/store/tables/audit-walk.ts";
import { layoutOf } from "../../src/store/backup/layout.ts";
import { restoreBackup } from "../../src/store/backup/restore.ts";
import type { Restored } from "../../src/store/backup/restore.ts";
import { writeBackup } from "../../src/store/backup/write.ts";
import type { BackupMade } from "../../src/store/backup/write.ts";
import { appendNotes } from "../../src/store/tables/control-rows.ts";
import { unitsOf } from "../../src/ledger/unit.ts";
import { commitUnits } from "../../src/store/ledger/commit.ts";
import { openBooks } from "../../src/store/open-store.ts";
import { schemaSteps } from "../../src/store/schema/schema.ts";
import { read } from "../../src/store/sql/sql.ts";
import type { Dialect } from "../../src/store/sql/dialect.ts";
import { transaction } from "../../src/store/transaction.ts";
import { credit, hold, settle } from "../ledger/operations.ts";
import { contentOf, DIALECTS, fill, newPlace } from "./places.ts";
import type { Place } from "./places.ts";

let directory: string;
let file: string;
let places: Place[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "millrace-backup-file-"));
  file = join(directory, "backup.gz");
  places = [];
});
afterEach(async () => {
  for (const place of places) await place.remove();
  rmSync(directory, { recursive: true });
});

async function placeOf(dialect: Dialect): Promise<Place> {
  const place = await newPlace(dialect);
  places.push(place);
  return place;
}

function backup(place: Place, more: { force?: boolean; file?: string } = {}): Promise<BackupMade> {
  return writeBackup({ file, force: false, onProgress: () => undefined, ...place, ...more });
}

function restore(place: Place): Promise<Restored> {
  return restoreBackup({ file, onProgress: () => undefined, ...place });
}

const DIRECTIONS = DIALECTS.flatMap((from) => DIALECTS.map((to) => [from, to] as const));

describe.each(DIRECTIONS)("from %s to %s", (from, to) => {
  test("everything is there again, row for row, and the books agree", { timeout: 60_000 }, async () => {
    const source = await placeOf(from);
    await fill(source, { isEnded: true });
    const before = await contentOf(source);
    // Tables that came later may be empty: they are read and written as all the others are.
    for (const { name } of layoutOf("sqlite", 6)) expect([name, (before[name] ?? []).length > 0]).toEqual([name, true]);
    const { head, tail } = await backup(source);
    expect(tail.rows).toBe(Object.values(before).reduce((sum, rows) => sum + rows.length, 0));
    const target = await placeOf(to);
    expect(await restore(target)).toMatchObject({ breaches: [], dialect: to, head: { madeAt: head.madeAt } });
    expect(await contentOf(target)).toEqual(before);
    // What was restored is a database like any other: it backs up to the same content.
    rmSync(file);
    await backup(target);
    const again = await placeOf(from);
    await restore(again);
    expect(await contentOf(again)).toEqual(before);
  });

  test("a backup with open holds comes back to its own kind alone", { timeout: 60_000 }, async () => {
    const source = await placeOf(from);
    await fill(source);
    const { head } = await backup(source);
    expect(head.openHolds).toBeGreaterThan(0);
    const target = await placeOf(to);
    if (from === to) {
      await restore(target);
      expect(await contentOf(target)).toEqual(await contentOf(source));
    } else {
      await expect(restore(target)).rejects.toThrow(`${head.openHolds} open holds`);
      expect(await target.hasTables()).toBe(false);
    }
  });
});

test("SQLite: the next start ends the holds that were open in the backup", { timeout: 60_000 }, async () => {
  const source = await placeOf("sqlite");
  await fill(source, { node: "embedded" });
  await backup(source);
  const target = await placeOf("sqlite");
  await restore(target);
  const books = await openBooks({ ...target, durability: "process", onTrouble: () => undefined });
  expect(await books.store.query("audit", {})).toEqual([]);
  await books.close();
  expect(await target.run(() => read("SELECT id FROM holds WHERE state = 'open'", []))).toEqual([]);
  expect(await target.run(() => read("SELECT id FROM wallets WHERE held <> 0", []))).toEqual([]);
});

test.runIf(DIALECTS.includes("postgres"))("PostgreSQL: holds of relays that are no more are found and ended after a restore", async () => {
  const source = await placeOf("postgres");
  const seat = { node: "gone:1", epoch: 1, leaseMs: 500 };
  await source.run(() =>
    commitUnits(
      { now: null },
      seat,
      unitsOf([
        { kind: "recover", node: seat.node },
        { kind: "open_wallet", accountId: "acme", floorNanos: 0n },
        credit("top-up", 1_000n),
        hold("req_1", 100n),
      ]),
    ),
  );
  expect((await backup(source)).head.openHolds).toBe(1);
  const target = await placeOf("postgres");
  await restore(target);
  const books = await openBooks({ ...target, durability: "process", onTrouble: () => undefined });
  await expect.poll(() => books.store.query("deadNodes", { own: "me" })).toMatchObject([{ node: "gone:1" }]);
  expect(await books.ledger.ask({ kind: "recover", node: "gone:1" })).toMatchObject({ ok: true, recovery: { holds: [{ id: "req_1" }] } });
  expect(await books.store.query("audit", {})).toEqual([]);
  await books.close();
});

describe.each(DIALECTS)("%s", (dialect) => {
  test("a backup knows every table and column that the database has, but those that are computed from others", async () => {
    const place = await placeOf(dialect);
    const sql =
      dialect === "sqlite"
        ? "SELECT t.name AS t, c.name AS c FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        : "SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'millrace_schema' AND is_generated = 'NEVER'";
    const found = await place.run(() => read(sql, []));
    const known = layoutOf(dialect, schemaSteps(dialect).length).flatMap(({ name, columns }) =>
      columns.map((column) => `${name}.${column.name}`),
    );
    expect(found.map((row) => `${String(row["t"])}.${String(row["c"])}`).toSorted()).toEqual(known.toSorted());
  });

  test("a database that is not empty is left alone, also one that was only just made by a start", async () => {
    const source = await placeOf(dialect);
    await fill(source, { count: 100 });
    await backup(source);
    const before = await contentOf(source);
    await expect(restore(source)).rejects.toThrow(/exists: restore into an empty directory|restore into an empty database/);
    expect(await contentOf(source)).toEqual(before);
    const started = await placeOf(dialect);
    await (await openBooks({ ...started, durability: "process", onTrouble: () => undefined })).close();
    await expect(restore(started)).rejects.toThrow(/exists: restore into an empty directory|restore into an empty database/);
  });

  test("a data directory that a relay uses is left alone", async () => {
    const source = await placeOf(dialect);
    await fill(source, { count: 100 });
    await backup(source);
    const busy = await placeOf(dialect);
    const books = await openBooks({ ...busy, durability: "process", onTrouble: () => undefined });
    await expect(restore(busy)).rejects.toThrow("another process uses");
    await books.close();
  });

  test("books that do not agree are told, and nothing is kept", async () => {
    const source = await placeOf(dialect);
    await fill(source, { count: 200 });
    await source.run(function* () {
      yield { kind: "write", sql: "UPDATE wallets SET balance = balance + 1 WHERE account_id = 'plain'", types: [], rows: [[]] };
    });
    await backup(source);
    const target = await placeOf(dialect);
    const { breaches } = await restore(target);
    expect(breaches.map((breach) => breach.claim)).toContain("a wallet's balance is the sum of its transfers");
    expect(await target.hasTables()).toBe(false);
    expect(readdirSync(target.dataDir).filter((name) => !["lock", "lock.line", "node", "millrace.db"].includes(name))).toEqual([]);
  });

  test.each([
    ["altered", "UPDATE audit_log SET actor = 'nobody' WHERE seq = 3", 3, /its content is not what its hash says/],
    ["taken out", "DELETE FROM audit_log WHERE seq = 3", 4, /it follows 2: entries are missing/],
    ["taken off the beginning", "DELETE FROM audit_log WHERE seq = 1", 2, /it follows nothing: entries are missing/],
    ["put before the first", "UPDATE audit_log SET seq = -5 WHERE seq = 1", -5, /its content is not what its hash says/],
    ["made no JSON", "UPDATE audit_log SET after_json = '{' WHERE seq = 5", 5, /it cannot be read: .*JSON/],
    ["given a time that is none", "UPDATE audit_log SET at = 9000000000000000000 WHERE seq = 2", 2, /it cannot be read: .*time/],
  ])("an entry of the audit that was %s is told, and nothing is kept", { timeout: 30_000 }, async (_name, sql, seq, reason) => {
    const source = await placeOf(dialect);
    await fill(source, { count: 50 });
    await source.run(function* () {
      // As somebody would who has the database to himself.
      const triggers = dialect === "sqlite" ? "DROP TRIGGER audit_log_no_" : "ALTER TABLE audit_log DISABLE TRIGGER USER";
      const lifts = dialect === "sqlite" ? [`${triggers}update`, `${triggers}delete`] : [triggers];
      for (const each of [...lifts, sql]) yield { kind: "write", sql: each, types: [], rows: [[]] };
    });
    await backup(source);
    const target = await placeOf(dialect);
    const { isKept, breaches, chain } = await restore(target);
    expect([isKept, breaches, chain?.broken?.seq]).toEqual([false, [], seq]);
    expect(chain?.broken?.reason).toMatch(reason);
    expect(await target.hasTables()).toBe(false);
    expect(readdirSync(target.dataDir).filter((name) => !["lock", "lock.line", "node", "millrace.db"].includes(name))).toEqual([]);
  });

  test("an audit longer than is read at once is walked to its end", { timeout: 30_000 }, async () => {
    const source = await placeOf(dialect);
    const note = { at: 1, actor: "owner", role: "owner", action: "a.b", target: "t", before: null, after: null, address: null };
    await source.run(() => transaction(() => appendNotes(Array.from({ length: 2_000 }, () => note))));
    const { head } = await source.run(() => walkAudit());
    await backup(source);
    expect(await restore(await placeOf(dialect))).toMatchObject({ isKept: true, chain: { entries: 2_000, head, broken: null } });
  });

  test("what waits in the spool file comes back with the backup, and is stored at the next start", async () => {
    const source = await placeOf(dialect);
    await fill(source, { count: 100, isEnded: true });
    writeFileSync(join(source.dataDir, "spool.taken"), spoolLine("req_taken"));
    writeFileSync(join(source.dataDir, "spool"), `${spoolLine("req_spooled")}\n${spoolLine("req_ünï")}\n{"row":{"id":"req_torn"`);
    expect((await backup(source)).tail.spooled).toBe(3);
    const target = await placeOf(dialect);
    await restore(target);
    expect(statSync(join(target.dataDir, "spool")).mode & 0o777).toBe(0o600);
    const troubles: string[] = [];
    const books = await openBooks({ ...target, durability: "process", onTrouble: (trouble) => troubles.push(trouble) });
    await books.close();
    expect(troubles).toEqual([]);
    const found = await target.run(() =>
      read("SELECT id FROM requests WHERE id IN ('req_taken', 'req_spooled', 'req_ünï') ORDER BY id", []),
    );
    expect(found.map((row) => row["id"])).toEqual(["req_spooled", "req_taken", "req_ünï"]);
    expect(existsSync(join(target.dataDir, "spool"))).toBe(false);
    const other = await placeOf(dialect);
    writeFileSync(join(other.dataDir, "spool"), spoolLine("req_other"));
    await expect(restore(other)).rejects.toThrow("spool exists");
  });
});

test("a settlement that waited in the spool file ends its hold after the restore, before recovery would", async () => {
  const source = await placeOf("sqlite");
  const seat = { node: "embedded", epoch: 1, leaseMs: 10 ** 13 };
  await source.run(() =>
    commitUnits(
      { now: null },
      seat,
      unitsOf([
        { kind: "recover", node: seat.node },
        { kind: "open_wallet", accountId: "acme", floorNanos: 0n },
        credit("top-up", 1_000n),
        hold("req_1", 100n),
      ]),
    ),
  );
  writeFileSync(join(source.dataDir, "spool"), spoolLine("req_1", { ...settle("req_1", 0n), costNanos: "42" }));
  const made = await backup(source);
  expect([made.head.openHolds, made.tail.spooled]).toEqual([1, 1]);
  const target = await placeOf("sqlite");
  await restore(target);
  const books = await openBooks({ ...target, durability: "process", onTrouble: () => undefined });
  expect(await books.store.query("audit", {})).toEqual([]);
  await books.close();
  const [found] = await target.run(() => read("SELECT state, charged FROM holds", []));
  expect(found).toMatchObject({ state: "settled", charged: 42n });
});

test("the file is its owner's alone, and no file is replaced that is not meant to be", async () => {
  const source = await placeOf("sqlite");
  await fill(source, { count: 50 });
  await backup(source);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const before = readFileSync(file);
  await expect(backup(source)).rejects.toThrow("exists: choose another name, or replace it with --force");
  expect(readFileSync(file)).toEqual(before);
  await backup(source, { force: true });
  expect(readdirSync(directory)).toEqual(["backup.gz"]);
  await expect(backup(source, { file: join(directory, "missing", "backup.gz") })).rejects.toThrow("ENOENT");
  await expect(backup(await placeOf("sqlite"), { file: join(directory, "other.gz") })).rejects.toThrow("there is no database at");
  expect(readdirSync(directory)).toEqual(["backup.gz"]);
});

test("a backup is lines of JSON that gzip unpacks: a head, rows by table, a tail", async () => {
  const source = await placeOf("sqlite");
  await fill(source, { count: 50 });
  await backup(source);
  const lines = gunzipSync(readFileSync(file))
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  expect(lines[0]).toMatchObject({ millrace: "backup", format: 1, dialect: "sqlite", schema: schemaSteps("sqlite").length });
  expect(lines[1]).toEqual({ table: "accounts" });
  expect(lines.at(-1)).toEqual({
    rows: expect.any(Number) as number,
    spooled: 0,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
  });
});

function spoolLine(id: string, ending: object | null = null): string {
  const usage = { input: 1, cachedInput: 0, cacheWrite: 0, output: 1, reasoning: 0 };
  const row = { id, at: 1, accountId: "a", keyId: "k", endpoint: "chat", model: "m", upstream: null, upstreamModel: null, isStream: true };
  const more = { status: 200, endReason: "complete", errorCode: null, marks: [], usage, basis: "exact", priceId: null, attempts: [] };
  const times = { ttftMs: null, itlMeanMs: null, itlMaxMs: null, overheadMs: null, durationMs: 1, events: 1, bytesOut: 1 };
  return JSON.stringify({ row: { ...row, ...more, ...times, chargeNanos: null, costNanos: null }, ending });
}
