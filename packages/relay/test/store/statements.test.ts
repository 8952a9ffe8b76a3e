/** Statements are made once and by name: none gets another one's text, and each database gets its own. */
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { inEach } from "../../src/store/sql/dialect.ts";
import type { Column } from "../../src/store/sql/dialect.ts";
import { GuardFailed, read, readAmong, writeRows } from "../../src/store/sql/sql.ts";
import { deleteFrom, insertInto, lookup, updateOf } from "../../src/store/sql/statements.ts";
import { SqliteRunner } from "../../src/store/sqlite/runner.ts";
import { PLACES } from "./plans.ts";

const columns: readonly Column[] = [
  { name: "id", type: "text" },
  { name: "n", type: "bigint" },
];

test("two inserts, two updates and two deletes of the same columns have each their own text, whichever is made first", () => {
  const texts = [
    insertInto({ table: "a", columns }, "(id) DO NOTHING"),
    insertInto({ table: "a", columns }),
    insertInto({ table: "b", columns }),
    updateOf("a", { set: columns, match: columns, guard: "n > 0" }),
    updateOf("a", { set: columns, match: columns }),
    updateOf("b", { set: columns, match: columns }),
    deleteFrom({ table: "a", columns }),
    deleteFrom({ table: "b", columns }),
  ].map(({ sql }) => sql as Record<"sqlite" | "postgres", string>);
  expect(texts.map(({ sqlite }) => sqlite)).toEqual([
    "INSERT INTO a (id, n) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO a (id, n) VALUES (?, ?)",
    "INSERT INTO b (id, n) VALUES (?, ?)",
    "UPDATE a SET id = ?, n = ? WHERE id = ? AND n = ? AND n > 0",
    "UPDATE a SET id = ?, n = ? WHERE id = ? AND n = ?",
    "UPDATE b SET id = ?, n = ? WHERE id = ? AND n = ?",
    "DELETE FROM a WHERE id = ? AND n = ?",
    "DELETE FROM b WHERE id = ? AND n = ?",
  ]);
  expect(texts.map(({ postgres }) => postgres)).toEqual([
    "INSERT INTO a (id, n) SELECT * FROM unnest(?::text[], ?::bigint[]) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO a (id, n) SELECT * FROM unnest(?::text[], ?::bigint[])",
    "INSERT INTO b (id, n) SELECT * FROM unnest(?::text[], ?::bigint[])",
    "UPDATE a SET id = v.s0, n = v.s1 FROM unnest(?::text[], ?::bigint[], ?::text[], ?::bigint[]) AS v(s0, s1, m0, m1) WHERE a.id = v.m0 AND a.n = v.m1 AND n > 0",
    "UPDATE a SET id = v.s0, n = v.s1 FROM unnest(?::text[], ?::bigint[], ?::text[], ?::bigint[]) AS v(s0, s1, m0, m1) WHERE a.id = v.m0 AND a.n = v.m1",
    "UPDATE b SET id = v.s0, n = v.s1 FROM unnest(?::text[], ?::bigint[], ?::text[], ?::bigint[]) AS v(s0, s1, m0, m1) WHERE b.id = v.m0 AND b.n = v.m1",
    "DELETE FROM a USING unnest(?::text[], ?::bigint[]) AS v(m0, m1) WHERE a.id = v.m0 AND a.n = v.m1",
    "DELETE FROM b USING unnest(?::text[], ?::bigint[]) AS v(m0, m1) WHERE b.id = v.m0 AND b.n = v.m1",
  ]);
});

test("two statements of the same columns do each what they say on one connection", () => {
  const database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE a (id TEXT PRIMARY KEY, n INTEGER) STRICT; CREATE TABLE b (id TEXT PRIMARY KEY, n INTEGER) STRICT");
  const runner = new SqliteRunner(database);
  runner.run(writeRows(insertInto({ table: "a", columns }, "(id) DO UPDATE SET n = excluded.n"), [["x", 1n]]));
  runner.run(writeRows(insertInto({ table: "b", columns }), [["x", 2n]]));
  expect(() => runner.run(writeRows(insertInto({ table: "b", columns }), [["x", 3n]]))).toThrow(/UNIQUE/);
  expect(() => runner.run(writeRows(insertInto({ table: "b", columns }, "(id) DO NOTHING"), [["x", 3n]]))).toThrow(GuardFailed);
  expect(runner.run(read("SELECT (SELECT n FROM a) AS a, (SELECT n FROM b) AS b", []))).toEqual([{ a: 1n, b: 2n }]);
  database.close();
});

describe.each(Object.entries(PLACES))("%s", (name, open) => {
  test("a text that is not for this database is not asked, and answers as if there were no rows", async () => {
    const place = await open();
    const select = "SELECT id FROM ledger_accounts";
    const mine = inEach((dialect) => (dialect.name === name ? `SELECT '${name}' AS mine` : "no SQL at all"));
    const others = inEach((dialect) => (dialect.name === name ? null : "no SQL at all"));
    expect(await place.run(() => read(mine, []))).toEqual([{ mine: name }]);
    expect(await place.run(() => read(others, ["x"]))).toEqual([]);
    for (const ids of [["cash"], ["cash", "revenue"]]) {
      const isPostgres = name === "postgres";
      const locked = lookup(select, "id", { end: " ORDER BY id", isLocking: true });
      expect((await place.run(() => readAmong(locked, ids))).map((row) => row["id"])).toEqual(ids);
      const only = lookup(select, "id", { end: " ORDER BY id", only: "postgres" });
      expect((await place.run(() => readAmong(only, ids))).map((row) => row["id"])).toEqual(isPostgres ? ids : []);
    }
    await place.close();
  });
});
