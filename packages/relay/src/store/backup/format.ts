/**
 * What is in a backup: JSON, one document a line, in gzip. A head; for each table its name and then its rows as lists; the
 * lines of the spool file; a tail with the SHA-256 of all that comes before it. The same for both kinds of database.
 */
import type { Column, Dialect } from "../sql/dialect.ts";
import type { SqlValue } from "../sql/sql.ts";
import { layoutOf } from "./layout.ts";
import type { TableLayout } from "./layout.ts";
import { versionFault } from "../schema/schema.ts";

const FORMAT = 1;

export interface CountedTable extends TableLayout {
  readonly rows: number;
}

export interface Head {
  /** When the data was as it is in here, in milliseconds since 1970. */
  readonly madeAt: number;
  readonly dialect: Dialect;
  /** Version of the tables, as databases of that kind count. */
  readonly schema: number;
  readonly openHolds: number;
  readonly tables: readonly CountedTable[];
}

export interface Tail {
  readonly rows: number;
  readonly spooled: number;
  readonly sha256: string;
}

export function headLine({ madeAt, dialect, schema, openHolds, tables }: Head): string {
  return `${JSON.stringify({
    millrace: "backup",
    format: FORMAT,
    made_at: new Date(madeAt).toISOString(),
    dialect,
    schema,
    open_holds: openHolds,
    tables: tables.map(({ name, rows, columns }) => ({ name, rows, columns: columns.map((column) => [column.name, column.type]) })),
  })}\n`;
}

/**
 * @throws with a sentence when this is no backup, or one of a newer program. That nobody changed it since is for the tail
 * to say.
 */
export function headOf(line: string): Head {
  const head = objectIn(line);
  if (head["millrace"] !== "backup") throw new Error("is no backup of Millrace");
  if (head["format"] !== FORMAT)
    throw new Error(
      `has the backup format ${String(head["format"])}, this program knows ${FORMAT}: restore it with the millrace that made it`,
    );
  const { dialect, schema, open_holds: openHolds, tables } = head;
  const isKnown = dialect === "sqlite" || dialect === "postgres";
  if (!isKnown || !isCount(schema) || schema < 1 || !isCount(openHolds) || !Array.isArray(tables)) throw damaged("its head is not one");
  const fault = versionFault(dialect, schema);
  if (fault !== null) throw new Error(`cannot be restored: ${fault.replace("the database", "it")}`);
  const layout = layoutOf(dialect, schema);
  const counted = layout.map((table, at) => ({ ...table, rows: rowsOf(table, (tables as unknown[])[at]) }));
  if (tables.length !== layout.length) throw damaged("its tables are not those of its version");
  return { madeAt: Date.parse(String(head["made_at"])), dialect, schema, openHolds, tables: counted };
}

function rowsOf(layout: TableLayout, said: unknown): number {
  const { name, rows, columns } = (said ?? {}) as Readonly<Record<string, unknown>>;
  const meant = layout.columns.map((column) => [column.name, column.type]);
  if (name !== layout.name || !isCount(rows) || JSON.stringify(columns) !== JSON.stringify(meant))
    throw damaged("its tables are not those of its version");
  return rows;
}

export function tableLine(name: string): string {
  return `${JSON.stringify({ table: name })}\n`;
}

export function spoolLine(line: string): string {
  return `${JSON.stringify({ spool: line })}\n`;
}

export function tailLine(tail: Tail): string {
  return `${JSON.stringify(tail)}\n`;
}

/** A line that is no row. */
export type MarkLine = { readonly table: string } | { readonly spool: string } | Tail;

/** @throws when it is none. */
export function markOf(line: string): MarkLine {
  const mark = objectIn(line);
  if (typeof mark["table"] === "string") return { table: mark["table"] };
  if (typeof mark["spool"] === "string") return { spool: mark["spool"] };
  const { rows, spooled, sha256 } = mark;
  if (isCount(rows) && isCount(spooled) && typeof sha256 === "string") return { rows, spooled, sha256 };
  throw damaged("a line in it is none of a backup");
}

/** Whole numbers are text, for they may be larger than JSON's; bytes are base64. */
export function rowLine(columns: readonly Column[], values: readonly SqlValue[]): string {
  let line = "[";
  for (let at = 0; at < columns.length; at++) {
    if (at > 0) line += ",";
    line += encoded(columns[at] as Column, values[at] ?? null);
  }
  return `${line}]\n`;
}

function encoded({ type }: Column, value: SqlValue): string {
  if (value === null) return "null";
  switch (type) {
    case "text":
      return JSON.stringify(value);
    case "bigint":
      return `"${value as bigint}"`;
    case "bytea":
      return `"${Buffer.from(value as Uint8Array).toString("base64")}"`;
    case "double precision":
      // JSON has neither infinities nor the zero below zero.
      if (Object.is(value, -0)) return '"-0"';
      return Number.isFinite(value) ? String(value) : `"${value as number}"`;
  }
}

/** @throws when the line is no row of such columns. */
export function rowOf(columns: readonly Column[], line: string): SqlValue[] {
  const values: unknown = JSON.parse(line);
  if (!Array.isArray(values) || values.length !== columns.length) throw damaged("a row in it has too few or too many columns");
  return columns.map((column, at) => decoded(column, values[at]));
}

function decoded({ name, type }: Column, value: unknown): SqlValue {
  if (value === null) return null;
  if (typeof value === "string") {
    if (type === "text") return value;
    if (type === "bytea") return Buffer.from(value, "base64");
    if (type === "double precision") return Number(value);
    if (/^-?\d{1,19}$/.test(value)) return BigInt(value);
  }
  if (typeof value === "number" && type === "double precision") return value;
  throw damaged(`a value of ${name} in it is none`);
}

export function damaged(why: string): Error {
  return new Error(`is damaged or was changed, and is not restored: ${why}`);
}

function objectIn(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Said below, as for JSON of another kind.
  }
  throw damaged("a line in it is not JSON");
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
