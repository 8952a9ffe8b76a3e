/**
 * Reads a database that another process still writes. Where that is an older program, its accounts and keys are read from a copy
 * in memory that is brought forward; nothing else is.
 */
import { DatabaseSync } from "node:sqlite";
import { workerData } from "node:worker_threads";
import { queryOf } from "../queries/queries.ts";
import type { QueryArgs, QueryName } from "../queries/queries.ts";
import { schemaSteps, versionFault } from "../schema/schema.ts";
import { copyOfRecords } from "./copy-of-records.ts";
import { SqliteRunner } from "./runner.ts";
import { answerMessages } from "./worker-server.ts";

const database = new DatabaseSync((workerData as { path: string }).path, { readOnly: true, timeout: 5_000 });
const runner = new SqliteRunner(database);

function pragma(name: "user_version" | "data_version"): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name] ?? 0);
}

/** Of the older program's file when it last changed. */
let copy: { readonly dataVersion: number; readonly runner: SqliteRunner } | null = null;

function copied(): SqliteRunner {
  const dataVersion = pragma("data_version");
  if (copy?.dataVersion !== dataVersion) copy = { dataVersion, runner: new SqliteRunner(copyOfRecords(database)) };
  return copy.runner;
}

/** All statements of a query see the same state. */
function answer<N extends QueryName>({ name, args }: { readonly name: N; readonly args: QueryArgs<N> }): unknown {
  database.exec("BEGIN");
  try {
    const found = pragma("user_version");
    const fault = versionFault("sqlite", found);
    if (fault !== null) throw new Error(fault);
    const isOld = found < schemaSteps("sqlite").length;
    if (isOld && name !== "records") throw new Error("an older program still has the database");
    return (isOld ? copied() : runner).run(queryOf(name, args));
  } finally {
    database.exec("COMMIT");
  }
}

answerMessages(answer, () => database.close());
