/**
 * Asks a database questions, as a process of its own: `node rows-asker.ts PLACE NOW [REPEATS]`. Prints a line of JSON for each question:
 * its times in milliseconds, rows, and how the database finds them.
 */
import { DatabaseSync } from "node:sqlite";
import { FOR_READING, Session } from "../packages/relay/src/store/postgres-session.ts";
import { read } from "../packages/relay/src/store/sql.ts";
import { SqliteRunner } from "../packages/relay/src/store/sqlite-runner.ts";
import type { Run } from "./rows-fill.ts";
import { questionsAt } from "./rows-questions.ts";

const [place = "", now = "", repeats = "5"] = process.argv.slice(2);
const isPostgres = place.startsWith("postgres");
const session = isPostgres ? await Session.open({ connectionString: place }, FOR_READING, 60_000) : null;
const database = isPostgres ? null : new DatabaseSync(place, { readOnly: true });
const run: Run = (make) => {
  if (session !== null) return session.run(make());
  if (database === null) throw new Error("no database");
  return new SqliteRunner(database).run(make());
};

for (const { name, sql, params } of questionsAt(Number(now))) {
  const ms: number[] = [];
  let rows = 0;
  for (let n = 0; n < Number(repeats); n++) {
    const startedAt = performance.now();
    rows = (await run(() => read(sql, params))).length;
    ms.push(performance.now() - startedAt);
  }
  const plan = await run(() => read(`${isPostgres ? "EXPLAIN" : "EXPLAIN QUERY PLAN"} ${sql}`, params));
  console.log(JSON.stringify({ name, ms, rows, plan: plan.map((row) => String(row["detail"] ?? row["QUERY PLAN"])) }));
}
database?.close();
await session?.close();
