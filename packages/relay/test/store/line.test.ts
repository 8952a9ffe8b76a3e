/** Who has a data directory while one relay follows another, and what the one that waits can do with it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { accessStore } from "../../src/store/access-store.ts";
import { newAccount } from "../../src/admission/accounts.ts";
import { newKeyRecord } from "../../src/admission/keys.ts";
import { copySpool } from "../../src/store/backup/spool-copy.ts";
import { LeftSpools } from "../../src/store/keeper/left-spools.ts";
import type { RowKeeper } from "../../src/store/keeper/row-keeper.ts";
import { Spool } from "../../src/store/keeper/spool.ts";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { openDataDirectory } from "../../src/store/data-directory.ts";
import { Line } from "../../src/store/line.ts";
import { schemaSteps } from "../../src/store/schema/schema.ts";
import { copyOfRecords } from "../../src/store/sqlite/copy-of-records.ts";
import { migrateSqlite } from "../../src/store/sqlite/migrate.ts";
import { row as rowOf } from "./row.ts";

const DRAINING = { delayMs: 0, drainMs: 60_000 };

let path: string;
let troubles: string[];
const opened: Books[] = [];
const lines: Line[] = [];

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "millrace-line-"));
  troubles = [];
});
afterEach(async () => {
  vi.useRealTimers();
  for (const books of opened.splice(0)) await books.close();
  for (const line of lines.splice(0)) line.release();
  rmSync(path, { recursive: true });
});

async function open(mayWait: boolean): Promise<Books> {
  const database = { kind: "sqlite", path: join(path, "millrace.db") } as const;
  const books = await openBooks({
    dataDir: path,
    database,
    durability: "process",
    mayWait,
    onTrouble: (message) => troubles.push(message),
  });
  opened.push(books);
  return books;
}

const quiet = (): void => undefined;

function newLine(): Line {
  const line = new Line(path);
  lines.push(line);
  return line;
}

test("a place behind the head is for who may wait, while all before it are draining", () => {
  const [first, second, third] = [newLine(), newLine(), newLine()];
  expect(first.join(true)).toEqual({ number: 0, ahead: null });
  expect(() => second.join(true)).toThrow("another process uses");
  first.markDraining({ delayMs: 5, drainMs: 70 }, quiet);
  expect(() => second.join(false)).toThrow("another process uses");
  expect(second.join(true)).toEqual({ number: 1, ahead: { delayMs: 5, drainMs: 70 } });
  expect(() => third.join(true)).toThrow("another process waits for");
  second.markDraining({ delayMs: 10, drainMs: 20 }, quiet);
  expect(third.join(true)).toEqual({ number: 2, ahead: { delayMs: 10, drainMs: 70 } });
});

test("a free head is not for who comes from outside while somebody waits for it; of who only ends it is", () => {
  const [first, second, third] = [newLine(), newLine(), newLine()];
  first.join(true);
  first.markDraining(DRAINING, quiet);
  second.join(true);
  first.release();
  expect(() => third.join(false)).toThrow("another process waits for");
  second.markDraining(DRAINING, quiet);
  expect(third.join(false)).toEqual({ number: 0, ahead: DRAINING });
  expect(second.tryHead()).toBe(false);
});

test("the mark of a head that was killed while it drained says nothing of the next one", () => {
  const [first, second, third] = [newLine(), newLine(), newLine()];
  first.join(true);
  first.markDraining(DRAINING, quiet);
  first.release();
  expect(existsSync(join(path, "draining"))).toBe(true);
  second.join(true);
  expect(() => third.join(true)).toThrow("another process uses");
});

test("who waits and comes to the head says that it drains from both of its places", () => {
  const [first, second, third] = [newLine(), newLine(), newLine()];
  first.join(true);
  first.markDraining(DRAINING, quiet);
  second.join(true);
  expect(second.tryHead()).toBe(false);
  first.release();
  expect(second.tryHead()).toBe(true);
  expect(() => third.join(true)).toThrow("another process waits for");
  second.markDraining(DRAINING, quiet);
  expect(third.join(true).number).toBe(2);
});

test("a spool takes what another one's files hold, and is read from the oldest on", async () => {
  const own = new Spool(join(path, "spool"));
  const left = new Spool(join(path, "spool.1"));
  writeFileSync(join(path, "spool.1.taken"), `${JSON.stringify({ row: rowOf("req_1"), ending: null })}\n{"torn`);
  left.append({ row: rowOf("req_2"), ending: null });
  own.append({ row: rowOf("req_0"), ending: null });
  left.close();
  own.adopt(join(path, "spool.1"));
  own.append({ row: rowOf("req_3"), ending: null });
  const ids: string[] = [];
  const drained = await own.drain(async (entries) => entries.map(({ row }) => (ids.push(row.id), "stored" as const)));
  expect([ids, drained.isEmpty, drained.bad?.count]).toEqual([["req_0", "req_1", "req_2", "req_3"], true, 1]);
  expect(existsSync(join(path, "spool.1")) || existsSync(join(path, "spool.1.taken"))).toBe(false);
});

test("a spool that moves goes on at its new place", async () => {
  const spool = new Spool(join(path, "spool.1"));
  spool.append({ row: rowOf("req_1"), ending: null });
  spool.moveTo(join(path, "spool"));
  spool.append({ row: rowOf("req_2"), ending: null });
  expect(existsSync(join(path, "spool.1"))).toBe(false);
  const ids: string[] = [];
  await spool.drain(async (entries) => entries.map(({ row }) => (ids.push(row.id), "stored" as const)));
  expect(ids).toEqual(["req_1", "req_2"]);
});

test("the spool of one that still ends is looked at again until it is gone", async () => {
  vi.useFakeTimers();
  const spool = new Spool(join(path, "spool"));
  const left = new Spool(join(path, "spool.1"));
  let isLeft = false;
  let stored = 0;
  const line: Pick<Line, "withLeft"> = { withLeft: (act) => (isLeft && act(1), isLeft) };
  const rows: Pick<RowKeeper, "withSpool" | "catchUp"> = {
    withSpool: async (change) => change(spool),
    catchUp: async () => void stored++,
  };
  const spools = new LeftSpools({ path, line, rows, onTrouble: (message) => troubles.push(message) });
  await spools.collect();
  left.append({ row: rowOf("req_1"), ending: null });
  left.close();
  await vi.advanceTimersByTimeAsync(10_000);
  expect([stored, existsSync(join(path, "spool"))]).toEqual([1, false]);
  isLeft = true;
  await vi.advanceTimersByTimeAsync(10_000);
  expect([stored, existsSync(join(path, "spool")), existsSync(join(path, "spool.1"))]).toEqual([2, true, false]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([stored, troubles]).toEqual([2, []]);
});

test("a backup holds what a relay that waits has put aside", async () => {
  const spool = new Spool(join(path, "spool.1"));
  spool.append({ row: rowOf("req_1"), ending: null });
  spool.close();
  const copy = copySpool(path);
  const found: string[] = [];
  for await (const line of copy.lines()) found.push((JSON.parse(line) as { row: { id: string } }).row.id);
  copy.close();
  expect(found).toEqual(["req_1"]);
});

test("books that are awaited are read and follow what the other relay changes; what writes is refused; rows are stored when they are here", async () => {
  const first = await open(false);
  const account = newAccount("shop", false, null, 1);
  await first.access.insertAccount(account);
  first.markDraining(DRAINING);
  const second = await open(true);
  expect([second.are(), second.records.accounts]).toMatchObject(["awaited", [account]]);
  const heard: string[] = [];
  second.watch(({ keys }) => heard.push(...keys.map(({ name }) => name)));
  await accessStore(first.store).insert(newKeyRecord(account.id, "late", 2).record);
  await second.store.fresh();
  expect(heard).toEqual(["late"]);
  await expect(second.access.insertAccount(newAccount("other", false, null, 2))).rejects.toThrow(
    "another relay on the same data still ends",
  );
  expect(await second.ledger.ask({ kind: "open_wallet", accountId: account.id, floorNanos: 0n })).toMatchObject({
    code: "store_unavailable",
  });
  expect(await second.prices.keepPrice("p", "{}")).toBe(false);
  expect(await second.rows.record(rowOf("req_1", { accountId: account.id }))).toEqual({ isStored: false });
  expect(readFileSync(join(path, "spool.1"), "utf8")).toContain("req_1");
  await opened.shift()?.close();
  expect(await second.opened).toBe(true);
  expect(second.are()).toBe("here");
  expect(await second.store.query("request", { id: "req_1", accountId: account.id })).not.toBeNull();
  expect(existsSync(join(path, "spool.1"))).toBe(false);
  expect(troubles).toEqual([]);
});

test("who is closed while it waits keeps its rows for the next start", async () => {
  const first = await open(false);
  first.markDraining(DRAINING);
  const second = await open(true);
  await second.rows.record(rowOf("req_1"));
  await opened.pop()?.close();
  expect(await second.opened).toBe(false);
  await opened.pop()?.close();
  const third = await open(false);
  expect(await third.store.query("request", { id: "req_1", accountId: "default" })).not.toBeNull();
});

test("books that cannot be opened when they are free are said to be none, and rows are still kept", async () => {
  const first = await open(false);
  first.markDraining(DRAINING);
  const second = await open(true);
  await opened.shift()?.close();
  const database = new DatabaseSync(join(path, "millrace.db"));
  database.exec("PRAGMA user_version = 9999");
  database.close();
  await expect(second.opened).rejects.toThrow("newer");
  expect(second.are()).toBe("awaited");
  expect(await second.rows.record(rowOf("req_1"))).toEqual({ isStored: false });
  expect(readFileSync(join(path, "spool"), "utf8")).toContain("req_1");
});

test("a relay that does not end in its time is reported, once", async () => {
  const first = await open(false);
  first.markDraining({ delayMs: 0, drainMs: -19_900 });
  const second = await open(true);
  await expect.poll(() => second.are()).toBe("overdue");
  expect(troubles).toEqual([expect.stringMatching(/should have ended within 0.1 s and has not/)]);
  await opened.shift()?.close();
  expect(await second.opened).toBe(true);
  expect(second.are()).toBe("here");
});

const SHA = "11".repeat(32);

test.each(schemaSteps("sqlite").map((_, at) => at + 1))(
  "accounts and keys of version %i are read without a change to its file",
  (version) => {
    const database = new DatabaseSync(join(path, "old.db"));
    migrateSqlite(database, 1);
    database.exec(`INSERT INTO accounts (id, name, metered, created_at) VALUES ('acc_1', 'shop', 0, 2);
    INSERT INTO keys VALUES ('key_1', 'acc_1', 'app', x'${SHA}', 'sk-mr-ab...cdef', 3, NULL, 4);`);
    migrateSqlite(database, version);
    const before = database.prepare("SELECT name, sql FROM sqlite_master").all();
    const copy = copyOfRecords(database);
    expect(copy.prepare("SELECT id, account_id, revoked_at, limits FROM keys").all()).toEqual([
      { id: "key_1", account_id: "acc_1", revoked_at: 4, limits: null },
    ]);
    expect(copy.prepare("SELECT id, status FROM accounts").all()).toEqual([{ id: "acc_1", status: "active" }]);
    expect(database.prepare("SELECT name, sql FROM sqlite_master").all()).toEqual(before);
    copy.close();
    database.close();
  },
);

test("a newer program waits on an older one's database with its accounts and keys, and brings it forward when it is free", async () => {
  const file = join(path, "millrace.db");
  const database = new DatabaseSync(file);
  database.exec("PRAGMA journal_mode = WAL");
  migrateSqlite(database, 1);
  database.exec("INSERT INTO accounts (id, name, metered, created_at) VALUES ('default', 'default', 0, 2)");
  const older = openDataDirectory(path);
  older.line.markDraining(DRAINING, quiet);
  const second = await open(true);
  expect(second.records.accounts).toMatchObject([{ id: "default", status: "active" }]);
  await expect(second.store.query("request", { id: "req_1", accountId: "default" })).rejects.toThrow(
    "an older program still has the database",
  );
  expect(Number(database.prepare("PRAGMA user_version").get()?.["user_version"])).toBe(1);
  await second.rows.record(rowOf("req_1"));
  database.close();
  older.line.release();
  expect(await second.opened).toBe(true);
  expect(await second.store.query("request", { id: "req_1", accountId: "default" })).not.toBeNull();
});
