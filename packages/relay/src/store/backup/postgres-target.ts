/** New tables in PostgreSQL, made and filled in one transaction. */
import { errorText } from "../../basics/error-text.ts";
import { walkAudit } from "../tables/audit-walk.ts";
import { auditLedger } from "../ledger/audit.ts";
import { assertServer, lockSchema, makeSteps } from "../postgres/migrate.ts";
import type { Session } from "../postgres/session.ts";
import { schemaSteps } from "../schema/schema.ts";
import { read, writeRows } from "../sql/sql.ts";
import type { SqlValue } from "../sql/sql.ts";
import { insertInto } from "../sql/statements.ts";
import { layoutOf } from "./layout.ts";
import type { TableLayout } from "./layout.ts";
import { nameOf, openPatient } from "./postgres-open.ts";
import type { Findings, RestoreTarget } from "./target.ts";

/** What PostgreSQL says to the one character that its text cannot hold. */
const NO_SUCH_CHARACTER = "22021";

/** @throws with a sentence when it has our tables already, or does not answer. */
export async function openPostgresTarget(url: string): Promise<RestoreTarget> {
  const session = await openPatient(url);
  try {
    await assertServer(session);
    await session.execute("BEGIN");
    if ((await lockSchema(session)) > 0)
      throw new Error(`${nameOf(url)} has Millrace's tables already: restore into an empty database, createdb makes one`);
    return new PostgresTarget(session, nameOf(url));
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Name of the database when it holds what a restore of that backup kept, else null. @throws as `openPostgresTarget`. */
export async function keptByPostgres(url: string, sha256: string): Promise<string | null> {
  const session = await openPatient(url);
  try {
    const [row] = await session.run(read("SELECT obj_description(to_regclass('millrace_schema')::oid, 'pg_class') AS comment", []));
    return row?.["comment"] === commentFor(sha256) ? nameOf(url) : null;
  } finally {
    await session.close();
  }
}

function commentFor(sha256: string): string {
  return `restored from the backup ${sha256}`;
}

class PostgresTarget implements RestoreTarget {
  readonly dialect = "postgres";
  readonly name: string;
  readonly #session: Session;
  #version = 0;

  constructor(session: Session, name: string) {
    this.#session = session;
    this.name = name;
  }

  async begin(version: number): Promise<void> {
    this.#version = version;
    await makeSteps(this.#session, 0, version);
    // Steps make rows of their own, which the backup has too.
    for (const { name } of layoutOf("postgres", version).toReversed()) await this.#session.execute(`DELETE FROM ${name}`);
    // References are looked up by plans that are made while the tables are empty, and kept.
    await this.#session.execute("SET LOCAL enable_seqscan = off");
  }

  async insert(table: TableLayout, rows: readonly (readonly SqlValue[])[]): Promise<void> {
    try {
      await this.#session.run(writeRows(insertInto({ table: table.name, columns: table.columns }), rows));
    } catch (error) {
      if ((error as { code?: unknown }).code !== NO_SUCH_CHARACTER) throw error;
      throw new Error(`a text in ${table.name} has the character U+0000, which PostgreSQL cannot hold`, { cause: error });
    }
  }

  async finish(sha256: string): Promise<Findings> {
    await makeSteps(this.#session, this.#version, schemaSteps("postgres").length);
    await this.#session.execute("SET LOCAL enable_seqscan = on");
    for (const { name } of layoutOf("postgres", schemaSteps("postgres").length)) await this.#session.execute(`ANALYZE ${name}`);
    await this.#session.execute(`COMMENT ON TABLE millrace_schema IS '${commentFor(sha256)}'`);
    return { breaches: await this.#session.run(auditLedger()), chain: await this.#session.run(walkAudit()) };
  }

  async keep(): Promise<void> {
    try {
      await this.#session.execute("COMMIT");
    } catch (error) {
      const reason = errorText(error);
      throw new Error(`${this.name} did not say whether it kept everything (${reason}): restore again`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}
