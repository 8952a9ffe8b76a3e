import { errorText } from "../../src/basics/error-text.ts";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkBackup } from "../../src/store/backup/read.ts";
import { restoreBackup } from "../../src/store/backup/restore.ts";
import { writeBackup } from "../../src/store/backup/write.ts";
import { schemaSteps } from "../../src/store/schema/schema.ts";
import { migrateSqlite } from "../../src/store/sqlite/migrate.ts";
import { DatabaseSync } from "node:sqlite";
import { contentOf, DIALECTS, fill, newPlace } from "./places.ts";
import type { Place } from "./places.ts";

const nothing = (): void => undefined;
/** Places at which a file is cut or changed. */
const SPOTS = process.env["MILLRACE_LONG"] === "1" ? 4_000 : 300;

let directory: string;
let good: Buffer;
let source: Place;
let content: Awaited<ReturnType<typeof contentOf>>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "millrace-damage-"));
  source = await newPlace("sqlite");
  await fill(source, { count: 300, isEnded: true });
  const file = join(directory, "good.gz");
  await writeBackup({ file, force: false, onProgress: nothing, ...source });
  good = readFileSync(file);
  content = await contentOf(source);
});
afterAll(async () => {
  await source.remove();
  rmSync(directory, { recursive: true });
});

/** What a check says of a file of such bytes; empty for a good one. */
async function verdictOn(bytes: Buffer): Promise<string> {
  const file = join(directory, "other.gz");
  writeFileSync(file, bytes);
  return checkBackup(file, nothing).then(() => "", errorText);
}

function spots(length: number): number[] {
  const step = Math.max(1, Math.floor(length / SPOTS));
  const ends = Array.from({ length: 32 }, (_, at) => at);
  return [...new Set([...ends, ...ends.map((at) => length - 1 - at), ...Array.from({ length: SPOTS }, (_, at) => (at * step) % length)])];
}

test("a file that was cut anywhere is refused", { timeout: 120_000 }, async () => {
  expect(await verdictOn(good)).toBe("");
  for (const at of spots(good.length))
    expect([at, await verdictOn(good.subarray(0, at))]).toEqual([at, expect.stringMatching(/cut|no backup/) as string]);
});

test("a file that was changed anywhere is refused, or holds what it held", { timeout: 120_000 }, async () => {
  const text = gunzipSync(good);
  let passed = 0;
  for (const at of spots(good.length)) {
    const changed = Buffer.from(good);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    const verdict = await verdictOn(changed);
    if (verdict !== "") expect([at, verdict]).toEqual([at, expect.stringMatching(/damaged|no backup/) as string]);
    else {
      // Bits that say nothing of the content: gzip's time, its system, and what fills the last byte of what is packed.
      expect([at, gunzipSync(changed).equals(text)]).toEqual([at, true]);
      passed += 1;
    }
  }
  expect(passed).toBeLessThanOrEqual(8);
});

test("a changed content is refused though it is packed anew", { timeout: 120_000 }, async () => {
  const text = gunzipSync(good);
  for (const at of spots(text.length)) {
    const changed = Buffer.from(text);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect([at, await verdictOn(gzipSync(changed, { level: 1 }))]).toEqual([
      at,
      expect.stringMatching(/damaged|no backup|format|newer/) as string,
    ]);
  }
});

test.each([
  ["something behind it", (bytes: Buffer) => Buffer.concat([bytes, Buffer.from("\0\0")]), /something follows its end/],
  ["another backup behind it", (bytes: Buffer) => Buffer.concat([bytes, bytes]), /something follows its end/],
  ["nothing in it", () => Buffer.alloc(0), /cut|damaged/],
  ["text in it", () => Buffer.from("hello, this is no backup"), /is no backup of Millrace/],
  ["JSON of something else in it", () => gzipSync('{"a":1}\n'), /is no backup of Millrace/],
  ["a line without an end in it", () => gzipSync(Buffer.alloc(1_000_000, 0x61)), /cut/],
])("a file with %s is refused", async (_name, make, message) => {
  expect(await verdictOn(make(good))).toMatch(message);
});

test("a backup of a newer program is refused with what to do", async () => {
  const text = gunzipSync(good).toString();
  expect(await verdictOn(gzipSync(text.replace('"format":1', '"format":2')))).toMatch(/format 2, this program knows 1: restore it with/);
  expect(await verdictOn(gzipSync(text.replace('"schema":', '"schema":9')))).toMatch(/it has schema version 9\d+, this program knows/);
});

describe.each(DIALECTS)("%s", (dialect) => {
  test("nothing is left of a restore from a file that turns out to be bad only while it is restored", async () => {
    const file = join(directory, "late.gz");
    const text = gunzipSync(good).toString();
    // Between the check and the restore somebody changes the file.
    writeFileSync(file, good);
    const target = await newPlace(dialect);
    let isChanged = false;
    const onProgress = (stage: string, done: number, total: number): void => {
      if (stage === "restoring" || done < total || isChanged) return;
      isChanged = true;
      writeFileSync(file, gzipSync(text.slice(0, text.lastIndexOf("\n", text.length - 2) - 100)));
    };
    await expect(restoreBackup({ file, onProgress, ...target })).rejects.toThrow(/damaged/);
    expect(isChanged).toBe(true);
    expect(await target.hasTables()).toBe(false);
    expect(existsSync(join(target.dataDir, "restoring"))).toBe(false);
    writeFileSync(file, good);
    if (dialect === "sqlite") rmSync(join(target.dataDir, "millrace.db"));
    await restoreBackup({ file, onProgress: nothing, ...target });
    expect(await contentOf(target)).toEqual(content);
    await target.remove();
  });
});

/** Versions of SQLite at which requests got what they cost, PostgreSQL its first version, and `door` its present name. */
const [LEDGER_SINCE, POSTGRES_SINCE, ENDPOINT_SINCE] = [3, 4, 11];
const OLDER = schemaSteps("sqlite")
  .map((_, at) => at + 1)
  .slice(0, -1);

/** A SQLite database as an older program left it. */
async function oldPlace(version: number): Promise<Place> {
  const place = await newPlace("sqlite");
  const database = new DatabaseSync(join(place.dataDir, "millrace.db"));
  migrateSqlite(database, version);
  const [hasCharge, endpoint] = [version >= LEDGER_SINCE, version >= ENDPOINT_SINCE ? "endpoint" : "door"];
  const fields = `account_id, key_id, ${endpoint}, model, stream, status, end_reason, marks, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, basis, events, bytes_out, duration_ms${hasCharge ? ", charge_nanos" : ""}`;
  const values = `'default', 'key_1', 'chat', 'm', 1, 200, 'complete', '', 3, 0, 0, 5, 0, 'exact', 1, 1, 1${hasCharge ? ", 7" : ""}`;
  database.exec(`
    INSERT INTO accounts (id, name, metered, created_at) VALUES ('default', 'default', 0, 1);
    INSERT INTO keys (id, account_id, name, sha256, hint, created_at) VALUES ('key_1', 'default', 'k', zeroblob(32), 'h', 1);
    INSERT INTO requests (id, at, ${fields}) VALUES ('req_1', 1790000000000, ${values}), ('req_2', 1790000000001, ${values});
    INSERT INTO attempts (request_id, n, upstream, upstream_model, outcome, duration_ms) VALUES ('req_1', 1, 'up', 'm', 'ok', 1);
  `);
  database.close();
  return place;
}

test.each(OLDER)("a backup of the older version %i is brought forward as its database would be", async (version) => {
  const old = await oldPlace(version);
  const file = join(directory, `old-${version}.gz`);
  await writeBackup({ file, force: false, onProgress: nothing, ...old });
  // Reading the old one brings it forward too.
  const meant = await contentOf(old);
  for (const dialect of DIALECTS) {
    const target = await newPlace(dialect);
    const restored = restoreBackup({ file, onProgress: nothing, ...target });
    // PostgreSQL was no database of ours at that version.
    if (dialect === "postgres" && version < POSTGRES_SINCE)
      await expect(restored).rejects.toThrow("restore it into SQLite, and make a new backup of that");
    else {
      expect(await restored).toMatchObject({ breaches: [], head: { schema: version } });
      expect(await contentOf(target)).toEqual(meant);
    }
    await target.remove();
  }
  if (version < POSTGRES_SINCE) expect(meant["usage_sums"]).toHaveLength(2);
  await old.remove();
});

test("a database that is none of ours is no backup's", async () => {
  const place = await newPlace("sqlite");
  appendFileSync(join(place.dataDir, "millrace.db"), "");
  await expect(writeBackup({ file: join(directory, "none.gz"), force: false, onProgress: nothing, ...place })).rejects.toThrow(
    "is no database of Millrace",
  );
  expect(existsSync(join(directory, "none.gz"))).toBe(false);
  await place.remove();
});
