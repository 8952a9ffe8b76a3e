/** Brings a PostgreSQL database to this program's shape. */
import type pg from "pg";
import { Session } from "./postgres-session.ts";
import { schemaSteps, versionFault } from "./schema.ts";
import { read } from "./sql.ts";

/** Of all relays that start at once one migrates, the others wait. Any number that nothing else of ours locks. */
const LOCK = 5_742_113_901;
/** A step may rewrite a large table. */
const STEP_WITHIN_MS = 30 * 60_000;

/**
 * All steps or none.
 * @throws when the database is of a newer program, or the server of an older kind than is supported.
 */
export async function migratePostgres(connection: pg.ClientConfig): Promise<void> {
  const session = await Session.open(connection, "SET lock_timeout = '60s'", STEP_WITHIN_MS);
  try {
    await assertServer(session);
    await session.execute(
      `BEGIN; SELECT pg_advisory_xact_lock(${LOCK}); CREATE TABLE IF NOT EXISTS millrace_schema (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)`,
    );
    const [row] = await session.run(read("SELECT version FROM millrace_schema", []));
    const found = Number(row?.["version"] ?? 0);
    const fault = versionFault("postgres", found);
    if (fault !== null) throw new Error(fault);
    const steps = schemaSteps("postgres");
    for (const step of steps.slice(found)) await session.execute(step);
    await session.execute(
      `INSERT INTO millrace_schema VALUES (1, ${steps.length}) ON CONFLICT (id) DO UPDATE SET version = excluded.version; COMMIT`,
    );
  } finally {
    await session.close();
  }
}

const VERSION_MIN = 15;

async function assertServer(session: Session): Promise<void> {
  const [row] = await session.run(
    read("SELECT current_setting('server_version_num')::bigint AS version, current_setting('server_encoding') AS encoding", []),
  );
  const version = Math.floor(Number(row?.["version"]) / 10_000);
  if (version < VERSION_MIN) throw new Error(`PostgreSQL ${version} is not supported: use ${VERSION_MIN} or newer`);
  if (row?.["encoding"] !== "UTF8") throw new Error("the PostgreSQL database must be made with ENCODING 'UTF8'");
}
