/** Brings a PostgreSQL database to this program's shape. */
import type pg from "pg";
import { Session } from "./session.ts";
import { schemaSteps, versionFault } from "../schema/schema.ts";
import { read } from "../sql/sql.ts";

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
    await session.execute("BEGIN");
    const found = await lockSchema(session);
    const fault = versionFault("postgres", found);
    if (fault !== null) throw new Error(fault);
    await makeSteps(session, found, schemaSteps("postgres").length);
    await session.execute("COMMIT");
  } finally {
    await session.close();
  }
}

/** Within a transaction, until whose end nobody else migrates. @returns the version of what is there, 0 for nothing. */
export async function lockSchema(session: Session): Promise<number> {
  await session.execute(
    `SELECT pg_advisory_xact_lock(${LOCK}); CREATE TABLE IF NOT EXISTS millrace_schema (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL)`,
  );
  const [row] = await session.run(read("SELECT version FROM millrace_schema", []));
  return Number(row?.["version"] ?? 0);
}

/** Within the transaction that locked the schema. */
export async function makeSteps(session: Session, from: number, to: number): Promise<void> {
  for (const step of schemaSteps("postgres").slice(from, to)) await session.execute(step);
  await session.execute(`INSERT INTO millrace_schema VALUES (1, ${to}) ON CONFLICT (id) DO UPDATE SET version = excluded.version`);
}

const VERSION_MIN = 15;

/** @throws when the server is of an older kind than is supported. */
export async function assertServer(session: Session): Promise<void> {
  const [row] = await session.run(
    read("SELECT current_setting('server_version_num')::bigint AS version, current_setting('server_encoding') AS encoding", []),
  );
  const version = Math.floor(Number(row?.["version"]) / 10_000);
  if (version < VERSION_MIN) throw new Error(`PostgreSQL ${version} is not supported: use ${VERSION_MIN} or newer`);
  if (row?.["encoding"] !== "UTF8") throw new Error("the PostgreSQL database must be made with ENCODING 'UTF8'");
}
