/** A PostgreSQL database as a backup reads it, beside relays that may be writing it: one transaction sees one state. */
import type { Session } from "../postgres/session.ts";
import { versionFault } from "../schema/schema.ts";
import { read } from "../sql/sql.ts";
import type { SqlValue } from "../sql/sql.ts";
import type { CountedTable, Head } from "./format.ts";
import { layoutOf } from "./layout.ts";
import type { TableLayout } from "./layout.ts";
import { nameOf, openPatient } from "./postgres-open.ts";
import { ROWS_AT_ONCE } from "./source.ts";
import type { BackupSource } from "./source.ts";

/** @throws with a sentence when there is no such database, or it is of a newer program. */
export async function openPostgresSource(url: string): Promise<BackupSource> {
  const session = await openPatient(url);
  try {
    await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const head = await headIn(session, url);
    return { head, rows: (table) => rowsIn(session, table), close: () => session.close() };
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function headIn(session: Session, url: string): Promise<Head> {
  const one = async (sql: string): Promise<unknown> => Object.values((await session.run(read(sql, [])))[0] ?? {})[0];
  if ((await one("SELECT to_regclass('millrace_schema')::text")) === null) throw new Error(`${nameOf(url)} has no database of Millrace`);
  const schema = Number(await one("SELECT version FROM millrace_schema"));
  const fault = versionFault("postgres", schema);
  if (fault !== null) throw new Error(fault);
  const tables: CountedTable[] = [];
  for (const table of layoutOf("postgres", schema))
    tables.push({ ...table, rows: Number(await one(`SELECT count(*) FROM ${table.name}`)) });
  const openHolds = Number(await one("SELECT count(*) FROM holds WHERE state = 'open'"));
  return { madeAt: Date.now(), dialect: "postgres", schema, openHolds, tables };
}

async function* rowsIn(session: Session, { name, columns }: TableLayout): AsyncGenerator<SqlValue[][]> {
  const names = columns.map((column) => column.name);
  const cursor = `backup_${name}`;
  await session.execute(`DECLARE ${cursor} NO SCROLL CURSOR FOR SELECT ${names.join(", ")} FROM ${name}`);
  for (;;) {
    const rows = await session.run(read(`FETCH ${ROWS_AT_ONCE} FROM ${cursor}`, []));
    if (rows.length === 0) break;
    yield rows.map((row) => names.map((column) => row[column] as SqlValue));
  }
  await session.execute(`CLOSE ${cursor}`);
}
