/** Reads the database beside its writer, in a thread of its own: a long summary must not stall a stream. */
import { DatabaseSync } from "node:sqlite";
import { workerData } from "node:worker_threads";
import { queryOf } from "../queries/queries.ts";
import type { QueryArgs, QueryName } from "../queries/queries.ts";
import { SqliteRunner } from "./runner.ts";
import { answerMessages } from "./worker-server.ts";

const database = new DatabaseSync((workerData as { path: string }).path, { readOnly: true, timeout: 5_000 });
const runner = new SqliteRunner(database);

/** All statements of a query see the same state. */
function answer<N extends QueryName>({ name, args }: { readonly name: N; readonly args: QueryArgs<N> }): unknown {
  database.exec("BEGIN");
  try {
    return runner.run(queryOf(name, args));
  } finally {
    database.exec("COMMIT");
  }
}

answerMessages(answer, () => database.close());
