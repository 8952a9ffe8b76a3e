/** How an object becomes a row and back: one line per property. */
import type { Column, Row, SqlType, SqlValue } from "./sql.ts";

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

export interface Shape<T> {
  readonly table: string;
  readonly fields: Readonly<Record<keyof T & string, Field>>;
}

/** The same list for the same keys, so that statements made from it are made once. */
const columnLists = new WeakMap<object, readonly Column[]>();

/** Columns of the given properties, else of all. Lists of keys are constants: what is made from one is kept by it. */
export function columnsOf<T>(shape: Shape<T>, keys: readonly (keyof T & string)[] = keysOf(shape)): readonly Column[] {
  let list = columnLists.get(keys);
  if (list === undefined) columnLists.set(keys, (list = makeColumns(shape, keys)));
  return list;
}

function makeColumns<T>(shape: Shape<T>, keys: readonly (keyof T & string)[]): Column[] {
  return keys.map((key) => {
    const [name, kind] = shape.fields[key];
    return { name, type: TYPES[kind] };
  });
}

export function valuesOf<T>(shape: Shape<T>, row: Readonly<T>, keys: readonly (keyof T & string)[] = keysOf(shape)): SqlValue[] {
  return keys.map((key) => {
    const value: unknown = row[key];
    const kind = shape.fields[key][1];
    if (kind === "json") return value === null || value === undefined ? null : JSON.stringify(value);
    return kind === "flag" ? Number(value) : (value as SqlValue);
  });
}

const selects = new WeakMap<object, string>();

/** A select list of the whole shape. */
export function selectOf<T>(shape: Shape<T>): string {
  let text = selects.get(shape);
  if (text === undefined) {
    const names = columnsOf(shape).map((column) => column.name);
    selects.set(shape, (text = `SELECT ${names.join(", ")} FROM ${shape.table}`));
  }
  return text;
}

/** Integers come from both databases as bigint. */
export function objectOf<T>(shape: Shape<T>, row: Row): T {
  const object: Record<string, unknown> = {};
  for (const key of keysOf(shape)) object[key] = fromSql(shape.fields[key], row);
  return object as T;
}

function fromSql([column, kind]: Field, row: Row): unknown {
  const value = row[column];
  if (kind === "flag") return Number(value) === 1;
  if (value === null || kind === "text" || kind === "nanos") return value;
  if (kind === "json") return JSON.parse(value as string) as unknown;
  return kind === "bytes" ? Buffer.from(value as Uint8Array) : Number(value);
}

const keyLists = new WeakMap<object, readonly string[]>();

function keysOf<T>(shape: Shape<T>): readonly (keyof T & string)[] {
  let list = keyLists.get(shape);
  if (list === undefined) keyLists.set(shape, (list = Object.keys(shape.fields)));
  return list as readonly (keyof T & string)[];
}
