/** How an object becomes a row and back: one line per property. */
import type { Column, Row, SqlValue } from "./sql.ts";

/** `nanos` is a bigint in both worlds, `count` a number, `flag` a boolean kept as 0 or 1. All but flags may be null. */
type FieldKind = "text" | "nanos" | "count" | "flag";

type Field = readonly [column: string, kind: FieldKind];

export interface Shape<T> {
  readonly table: string;
  readonly fields: Readonly<Record<keyof T & string, Field>>;
}

export function columnsOf<T>(shape: Shape<T>, keys: readonly (keyof T & string)[] = keysOf(shape)): Column[] {
  return keys.map((key) => {
    const [name, kind] = shape.fields[key];
    return { name, type: kind === "text" ? "text" : "bigint" };
  });
}

export function valuesOf<T>(shape: Shape<T>, row: Readonly<T>, keys: readonly (keyof T & string)[] = keysOf(shape)): SqlValue[] {
  return keys.map((key) => {
    const value: unknown = row[key];
    return shape.fields[key][1] === "flag" ? Number(value) : (value as SqlValue);
  });
}

/** A select list of the whole shape. */
export function selectOf<T>(shape: Shape<T>): string {
  return `SELECT ${columnsOf(shape)
    .map((column) => column.name)
    .join(", ")} FROM ${shape.table}`;
}

/** Integers come from both databases as bigint. */
export function objectOf<T>(shape: Shape<T>, row: Row): T {
  const object: Record<string, unknown> = {};
  for (const key of keysOf(shape)) object[key] = fromSql(shape.fields[key], row);
  return object as T;
}

function fromSql([column, kind]: Field, row: Row): unknown {
  const value = row[column];
  if (value === null || kind === "text" || kind === "nanos") return value;
  return kind === "flag" ? value === 1n : Number(value);
}

function keysOf<T>(shape: Shape<T>): (keyof T & string)[] {
  return Object.keys(shape.fields) as (keyof T & string)[];
}
