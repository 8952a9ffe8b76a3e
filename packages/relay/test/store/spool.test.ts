import { appendFileSync, createReadStream, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { spoolLines } from "../../src/store/keeper/spool-lines.ts";
import type { SpoolLine } from "../../src/store/keeper/spool-lines.ts";
import { Spool } from "../../src/store/keeper/spool.ts";
import type { Fate, SpoolEntry } from "../../src/store/keeper/spool.ts";
import { row } from "./row.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "millrace-spool-"));
  path = join(directory, "spool");
});
afterEach(() => rmSync(directory, { recursive: true }));

const ending = { kind: "settle", costNanos: 5n, basis: "exact", inputTokens: 1, outputTokens: 1, endReason: "complete" } as const;

async function drained(spool: Spool): Promise<SpoolEntry[]> {
  const all: SpoolEntry[] = [];
  await spool.drain((entries) => {
    all.push(...entries);
    return Promise.resolve(entries.map(() => "stored" as const));
  });
  return all;
}

async function linesOf(input: AsyncIterable<Buffer>): Promise<SpoolLine[]> {
  const all: SpoolLine[] = [];
  for await (const lines of spoolLines(input)) all.push(...lines);
  return all;
}

test("an entry comes back as it was put in, whatever ends a line elsewhere", async () => {
  const spool = new Spool(path);
  const models = ["a\u2028b", "\u2029", "a\r\nb\n", "\u0085\v\f", "模型 \u{1f600}"];
  const entries = models.map((model, n): SpoolEntry => ({ row: row(`req_${n}`, { model }), ending: { ...ending, id: `req_${n}` } }));
  for (const entry of entries) spool.append(entry);
  expect(await drained(spool)).toEqual(entries);
});

test("lines are the same wherever their bytes are cut", async () => {
  const texts = ["{}", "é\u2028\u2029", "模型", "x"];
  const bytes = Buffer.from(`${texts.join("\n\n")}\n`);
  for (let size = 1; size <= bytes.length; size++) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
    const lines = await linesOf(Readable.from(pieces));
    expect(lines.map((line) => line.text)).toEqual(texts);
    expect(lines.map((line) => bytes.subarray(0, line.end).toString("utf8").replace(/\n$/, "").endsWith(line.text))).not.toContain(false);
  }
});

test("a file without an end of a line is read in parts, and what follows it is not lost", async () => {
  appendFileSync(path, Buffer.alloc(9 * 1024 * 1024, "x"));
  const spool = new Spool(path);
  spool.append({ row: row("req_1"), ending: null });
  const sizes = (await linesOf(createReadStream(path))).map((line) => line.text.length);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * 1024 * 1024);
  expect((await drained(spool)).map((entry) => entry.row.id)).toEqual(["req_1"]);
});

test("the name of the file is synced to the disk before its first entry is acknowledged, once for each file", async () => {
  const synced: string[] = [];
  const spool = new Spool(path, (name) => synced.push(`${name} with ${readdirSync(name).join()}`));
  for (const id of ["req_1", "req_2"]) spool.append({ row: row(id), ending: null });
  expect(synced).toEqual([`${directory} with spool`]);
  await drained(spool);
  spool.append({ row: row("req_3"), ending: null });
  expect(synced).toHaveLength(2);
});

test("what could not be stored is given again, and what is dealt with is not: a bad entry is kept beside once", async () => {
  const spool = new Spool(path);
  for (let n = 0; n < 700; n++) spool.append({ row: row(`req_${n}`), ending: null });
  const given: number[] = [];
  const store = (last: Fate) => (entries: readonly SpoolEntry[]) => {
    given.push(entries.length);
    return Promise.resolve(entries.map(({ row: { id } }): Fate => (id === "req_0" ? { bad: "no" } : id === "req_699" ? last : "stored")));
  };
  expect(await spool.drain(store("later"))).toEqual({ bad: { count: 1, reason: "no" }, isEmpty: false });
  expect(await spool.drain(store({ bad: "neither" }))).toEqual({ bad: { count: 1, reason: "neither" }, isEmpty: true });
  expect(given).toHaveLength(3);
  expect(given[2]).toBe(given[1]);
  expect(readFileSync(`${path}.bad`, "utf8").match(/"reason":"\w+"/g)).toEqual(['"reason":"no"', '"reason":"neither"']);
});
