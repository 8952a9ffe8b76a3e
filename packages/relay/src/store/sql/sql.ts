/**
 * Statements as data, written once for SQLite and PostgreSQL. A transaction is a generator that yields them and receives
 * their answers, so that the same code runs at once in the writer thread and by awaiting on a connection. Whoever runs them
 * knows its kind of database, and takes the text that is for it: see `SqliteRunner` and `Session`.
 */
import type { ByDialect, Dialect, SqlType } from "./dialect.ts";

export type SqlValue = string | bigint | number | Uint8Array | null;

/** The same for both kinds of database, or one for each. Where it is null nothing is asked, and the answer is that of no rows. */
export type SqlText = string | ByDialect;

export type Statement =
  | { readonly kind: "begin" | "commit" | "rollback" }
  /** A list parameter stands for any number of texts, see `SqlDialect.among`. */
  | { readonly kind: "read"; readonly sql: SqlText; readonly params: readonly (SqlValue | readonly string[])[] }
  /** One statement for many rows. */
  | { readonly kind: "write"; readonly sql: SqlText; readonly types: readonly SqlType[]; readonly rows: Rows };

export type Row = Readonly<Record<string, unknown>>;

type Rows = readonly (readonly SqlValue[])[];

export interface Answer {
  readonly rows: readonly Row[];
  /** Rows that were written. */
  readonly count: number;
}

export const NO_ROWS: Answer = { rows: [], count: 0 };

/** A transaction, or a part of one. */
export type Sql<T> = Generator<Statement, T, Answer>;

/** A write that met other rows than were read under lock: nothing of the batch may stay. */
export class GuardFailed extends Error {}

export function textIn(sql: SqlText, dialect: Dialect): string | null {
  return typeof sql === "string" ? sql : sql[dialect];
}

export function* read(sql: SqlText, params: readonly (SqlValue | readonly string[])[]): Sql<readonly Row[]> {
  return (yield { kind: "read", sql, params }).rows;
}

/**
 * Finds rows by one column. Of the lists that are asked for most are of one, and taking a list apart costs as much as finding
 * its row: so there is a text for one value, too.
 */
export interface Lookup {
  readonly one: SqlText;
  readonly many: SqlText;
}

/** Reads the rows whose column is in the list; asks nothing for an empty one. */
export function* readAmong({ one, many }: Lookup, ids: Iterable<string>): Sql<readonly Row[]> {
  const list = [...ids];
  const [first] = list;
  if (first === undefined) return [];
  return list.length === 1 ? yield* read(one, [first]) : yield* read(many, [list]);
}

/** Writes any number of rows of a table, each with a value for each of the types. */
export interface RowsStatement {
  readonly sql: SqlText;
  readonly types: readonly SqlType[];
  /** Every row that is given is written, or the transaction fails. */
  readonly isExact: boolean;
}

/** @throws {GuardFailed} when a row that must be written was not. */
export function* writeRows({ sql, types, isExact }: RowsStatement, rows: Rows): Sql<void> {
  if (rows.length === 0) return;
  const { count } = yield { kind: "write", sql, types, rows };
  if (isExact && count !== rows.length)
    throw new GuardFailed(`${count} of ${rows.length} rows were written by: ${typeof sql === "string" ? sql : (sql.sqlite ?? "")}`);
}
