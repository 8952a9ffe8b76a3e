/** The numbers of configurations: one for each content, over restarts and over relays on one database. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test as base } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { newRevision } from "../../src/config/revision.ts";
import type { NewRevision } from "../../src/config/revision.ts";
import { openBooks } from "../../src/store/open-store.ts";
import { revisionStore } from "../../src/store/revision-store.ts";
import { DATABASES } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";

const test = base.extend<{ directory: string }>({
  directory: async ({ task: _task }, use) => {
    const directory = mkdtempSync(join(tmpdir(), "millrace-revisions-"));
    await use(directory);
    rmSync(directory, { recursive: true });
  },
});

const START = { author: "relay", reason: "start" };

/** What is stored of the configuration that these variables make. */
async function revisionOf(variables: Record<string, string>): Promise<NewRevision> {
  const loaded = await loadConfig({ env: variables, cwd: "/nonexistent" });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  return newRevision(loaded.config, "environment", START);
}

const SECRET = "sk-deepseek-0123456789abcdef0123456789abcdef";
const [FIRST, SECOND] = [{ DEEPSEEK_API_KEY: SECRET }, { DEEPSEEK_API_KEY: SECRET, MILLRACE_ADMIN_TOKEN: `mra_${"a".repeat(40)}` }];

describe.each(Object.entries(DATABASES))("on %s", (name, newDatabase) => {
  /** What one life of a relay numbers, one after the other. */
  async function numbered(database: TestDatabase, dataDir: string, revisions: readonly NewRevision[]): Promise<number[]> {
    const books = await openBooks({ dataDir, database: database.configIn(dataDir), durability: "process", onTrouble: () => undefined });
    const numbers: number[] = [];
    for (const revision of revisions) numbers.push(await revisionStore(books.store).numberOf(revision));
    await books.close();
    return numbers;
  }

  test("a content keeps its number over restarts, another takes the next, and none is taken again", async ({ directory }) => {
    const database = await newDatabase();
    const [first, second] = [await revisionOf(FIRST), await revisionOf(SECOND)];
    expect(await numbered(database, directory, [first, first])).toEqual([1, 1]);
    expect(await numbered(database, directory, [first, second, second, first])).toEqual([1, 2, 2, 3]);
    expect(await numbered(database, directory, [first])).toEqual([3]);
    const rows = await database.query(directory, "SELECT number, author, source, reason FROM revisions ORDER BY number");
    expect(rows.map((row) => Number(row["number"]))).toEqual([1, 2, 3]);
    expect(rows[0]).toMatchObject({ author: "relay", source: "environment", reason: "start" });
  });

  test("no secret is stored of a configuration", async ({ directory }) => {
    const database = await newDatabase();
    await numbered(database, directory, [await revisionOf(SECOND)]);
    const text = JSON.stringify(await database.query(directory, "SELECT content_hash, author, source, reason FROM revisions"));
    for (const secret of Object.values(SECOND)) expect(text).not.toContain(secret);
  });

  test.runIf(name === "PostgreSQL")(
    "relays that load at the same moment share the number of the same content, and no other",
    async ({ directory }) => {
      const database = await newDatabase();
      const contents = ["a", "b", "c", "d"].map((letter): NewRevision => ({
        ...START,
        at: 1,
        source: "file",
        contentHash: letter.repeat(64),
      }));
      const relays = ["one", "two", "three"];
      const found = await Promise.all(relays.map((relay) => numbered(database, join(directory, relay), contents)));
      const rows = await database.query(directory, "SELECT number, content_hash FROM revisions ORDER BY number");
      const contentOf = new Map(rows.map((row) => [Number(row["number"]), row["content_hash"]]));
      expect([...contentOf.keys()]).toEqual(rows.map((_, at) => at + 1));
      for (const numbers of found) expect(numbers.map((number) => contentOf.get(number))).toEqual(contents.map((each) => each.contentHash));
    },
  );
});

test("two relays of the same content have the same number, wherever they listen and keep their data", async () => {
  const here = await revisionOf({ ...FIRST, MILLRACE_PORT: "1", MILLRACE_DATA: "/a", MILLRACE_LOG_LEVEL: "debug" });
  const there = await revisionOf({ ...FIRST, MILLRACE_PORT: "2", MILLRACE_DATA: "/b" });
  expect(here.contentHash).toBe(there.contentHash);
  expect((await revisionOf({ DEEPSEEK_API_KEY: `${SECRET}0` })).contentHash).not.toBe(here.contentHash);
});
