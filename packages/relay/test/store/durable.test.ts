/** What is acknowledged is on the disk before: seen from outside, by the calls that the process makes to the kernel. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const CHILD = join(import.meta.dirname, "durable-child.ts");
const TRACE = ["-f", "-y", "-s", "32", "-e", "trace=fdatasync,fsync,write"];

/** Some containers have no tracer, or may not trace. */
const canTrace = spawnSync("strace", ["-e", "trace=fsync", "true"]).status === 0;

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "millrace-durable-"))));
afterEach(() => rmSync(directory, { recursive: true }));

/** Each word that the child said, and whether the database's log was synced since the word before it. */
function wordsOf(durability: string): { readonly word: string; readonly wasSynced: boolean }[] {
  const trace = join(directory, "trace");
  const ran = spawnSync("strace", [...TRACE, "-o", trace, process.execPath, CHILD, directory, durability], { encoding: "utf8" });
  expect([ran.status, ran.stderr]).toEqual([0, ""]);
  const words: { word: string; wasSynced: boolean }[] = [];
  let wasSynced = false;
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    // A call that another thread's interrupts is told in two lines, and is over with the second.
    if (/millrace\.db-wal>\)\s+= 0|<\.\.\. f(?:data)?sync resumed>\)\s+= 0/.test(line)) wasSynced = true;
    const word = /write\(1<[^>]*>, "(\w+)\\n"/.exec(line)?.[1];
    if (word === undefined) continue;
    words.push({ word, wasSynced });
    wasSynced = false;
  }
  return words;
}

const DECIDED = new Set(["wallet", "account", "key", "grant", "revocation"]);

describe.runIf(canTrace)("with durability", () => {
  test("power, nothing is acknowledged before it is synced to the disk", { timeout: 60_000 }, () => {
    const words = wordsOf("power");
    expect(words.length).toBe(43);
    expect(words.filter(({ wasSynced }) => !wasSynced)).toEqual([]);
  });

  test("process, what people decided is synced all the same, and requests wait for no disk", { timeout: 60_000 }, () => {
    const words = wordsOf("process");
    expect(words.filter(({ word, wasSynced }) => DECIDED.has(word) && !wasSynced)).toEqual([]);
    expect(words.filter(({ word }) => !DECIDED.has(word)).map(({ wasSynced }) => wasSynced)).toEqual(
      Array.from({ length: 20 }, () => false),
    );
  });
});
