/** How an object becomes a row and back: one line per property. */
import type { Column, SqlType } from "./dialect.ts";
import type { Row, SqlValue } from "./sql.ts";

/**
 * `nanos` is a bigint in both worlds, `count` a whole number, `real` any number, `flag` a boolean kept as 0 or 1, `json`
 * whatever can be said in JSON, `bytes` a buffer. All but flags may be null.
 */
type FieldKind = "text" | "nanos" | "count" | "real" | "flag" | "json" | "bytes";

const TYPES: Readonly<Record<FieldKind, SqlType>> = {
  text: "text",
  json: "text",
  nanos: "bigint",
  count: "bigint",
  flag: "bigint",
  real: "double precision",
  bytes: "bytea",
};

type Field = readonly [column: string, kind: FieldKind];

type Key<T> = keyof T & string;

export interface Shape<T> {
  readonly table: string;
  readonly fields: Readonly<Record<Key<T>, Field>>;
  readonly keys: readonly Key<T>[];
  readonly columns: readonly Column[];
  /** Selects the whole shape, from every row. */
  readonly select: string;
}

export function shapeOf<T>(table: string, fields: Shape<T>["fields"]): Shape<T> {
  const keys = Object.keys(fields) as Key<T>[];
  const columns = keys.map((key) => columnOf(fields[key]));
  return { table, fields, keys, columns, select: `SELECT ${columns.map(({ name }) => name).join(", ")} FROM ${table}` };
}

function columnOf([name, kind]: Field): Column {
  return { name, type: TYPES[kind] };
}

/** Columns of some of the properties. */
export function columnsOf<T>(shape: Shape<T>, keys: readonly Key<T>[]): readonly Column[] {
  return keys.map((key) => columnOf(shape.fields[key]));
}

export function valuesOf<T>(shape: Shape<T>, row: Readonly<T>, keys: readonly Key<T>[] = shape.keys): SqlValue[] {
  return keys.map((key) => {
    const value: unknown = row[key];
    const kind = shape.fields[key][1];
    if (kind === "json") return value === null || value === undefined ? null : JSON.stringify(value);
    return kind === "flag" ? Number(value) : (value as SqlValue);
  });
}

/** Integers come from both databases as bigint. */
export function objectOf<T>(shape: Shape<T>, row: Row): T {
  const object: Record<string, unknown> = {};
  for (const key of shape.keys) object[key] = fromSql(shape.fields[key], row);
  return object as T;
}

function fromSql([column, kind]: Field, row: Row): unknown {
  const value = row[column];
  if (kind === "flag") return Number(value) === 1;
  if (value === null || kind === "text" || kind === "nanos") return value;
  if (kind === "json") return JSON.parse(value as string) as unknown;
  return kind === "bytes" ? Buffer.from(value as Uint8Array) : Number(value);
}
