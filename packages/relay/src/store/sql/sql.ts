/**
 * Statements as data, written once for SQLite and PostgreSQL. A transaction is a generator that yields them and receives
 * their answers, so that the same code runs at once in the writer thread and by awaiting on a connection.
 */

export type Dialect = "sqlite" | "postgres";

/** Types as PostgreSQL casts to them; SQLite takes values as they are. */
export type SqlType = "text" | "bigint" | "double precision" | "bytea";
export type SqlValue = string | bigint | number | Uint8Array | null;

export type Statement =
  | { readonly kind: "begin" | "commit" | "rollback" }
  /** A list parameter stands for any number of texts, see {@link among}. */
  | { readonly kind: "read"; readonly sql: string; readonly params: readonly (SqlValue | readonly string[])[] }
  /** One statement for many rows: SQLite runs it row by row, PostgreSQL takes the columns as arrays. */
  | { readonly kind: "write"; readonly sql: string; readonly types: readonly SqlType[]; readonly rows: readonly (readonly SqlValue[])[] };

export type Row = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly rows: readonly Row[];
  /** Rows that were written. */
  readonly count: number;
}

/** A transaction, or a part of one. */
export type Sql<T> = Generator<Statement, T, Answer>;

/** A write that met other rows than were read under lock: nothing of the batch may stay. */
export class GuardFailed extends Error {}

/** `column` is one of a list parameter's texts. */
export function among(dialect: Dialect, column: string): string {
  return dialect === "sqlite" ? `${column} IN (SELECT value FROM json_each(?))` : `${column} = ANY(?::text[])`;
}

/** Text of a schema for one dialect: `I64`, `F64` and `TABLE_END` stand for what is called differently. */
export function shapeFor(dialect: Dialect, text: string): string {
  const isSqlite = dialect === "sqlite";
  return text
    .replaceAll("I64", isSqlite ? "INTEGER" : "BIGINT")
    .replaceAll("F64", isSqlite ? "REAL" : "DOUBLE PRECISION")
    .replaceAll(" TABLE_END", isSqlite ? " STRICT" : "");
}

/** The database's clock, in milliseconds since 1970. */
export function nowIn(dialect: Dialect): string {
  return dialect === "sqlite"
    ? "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    : "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
}

/** Locks the rows of a read until the transaction ends. SQLite has one writer and needs none. */
export function lockRows(dialect: Dialect): string {
  return dialect === "sqlite" ? "" : " FOR UPDATE";
}

export function* read(sql: string, params: readonly (SqlValue | readonly string[])[]): Sql<readonly Row[]> {
  return (yield { kind: "read", sql, params }).rows;
}

/** Reads rows whose `column` is in the list; asks nothing for an empty one. */
export function* readAmong(dialect: Dialect, select: string, column: string, ids: Iterable<string>, rest = ""): Sql<readonly Row[]> {
  const list = [...ids];
  const [first] = list;
  if (first === undefined) return [];
  const { one, many } = amongOf(dialect, select, column, rest);
  return list.length === 1 ? yield* read(one, [first]) : yield* read(many, [list]);
}

/** Texts by what they are made from: a new text has to be read through before its prepared statement is found. */
const amongTexts = new Map<string, Map<string, { readonly one: string; readonly many: string }>>();

/** Of the lists that are asked for most are of one, and taking a list apart costs as much as finding its row. */
function amongOf(dialect: Dialect, select: string, column: string, rest: string): { readonly one: string; readonly many: string } {
  let ofSelect = amongTexts.get(select);
  if (ofSelect === undefined) amongTexts.set(select, (ofSelect = new Map<string, { readonly one: string; readonly many: string }>()));
  const key = `${dialect} ${column} ${rest}`;
  let texts = ofSelect.get(key);
  if (texts === undefined) {
    texts = { one: `${select} WHERE ${column} = ?${rest}`, many: `${select} WHERE ${among(dialect, column)}${rest}` };
    ofSelect.set(key, texts);
  }
  return texts;
}

export interface Column {
  readonly name: string;
  readonly type: SqlType;
}

type Values = readonly (readonly SqlValue[])[];

/** Text of a statement by the list of columns it is made from: building it for each batch costs more than running it. */
const insertTexts = new WeakMap<readonly Column[], Map<string, string>>();

export function* insertRows(dialect: Dialect, table: string, columns: readonly Column[], rows: Values): Sql<void> {
  yield* writeRows(insertOf(dialect, table, columns, ""), columns, rows);
}

/** Inserts or adds to what is there. @param end `ON CONFLICT ...` and what follows it. */
export function* upsertRows(dialect: Dialect, table: string, columns: readonly Column[], rows: Values, end: string): Sql<void> {
  yield* writeRows(insertOf(dialect, table, columns, end), columns, rows);
}

function insertOf(dialect: Dialect, table: string, columns: readonly Column[], end: string): string {
  let known = insertTexts.get(columns);
  if (known === undefined) insertTexts.set(columns, (known = new Map<string, string>()));
  let text = known.get(dialect);
  if (text !== undefined) return text;
  const names = columns.map((column) => column.name).join(", ");
  const source = dialect === "sqlite" ? `VALUES (${columns.map(() => "?").join(", ")})` : `SELECT * FROM unnest(${arrays(columns)})`;
  known.set(dialect, (text = `INSERT INTO ${table} (${names}) ${source} ${end}`));
  return text;
}

/**
 * Sets `set` in the rows whose `match` columns still have the values they were read with. Rows: set first, then match. The
 * same two lists of columns always go with the same table and guard.
 */
export function* updateRows(
  dialect: Dialect,
  table: string,
  set: readonly Column[],
  match: readonly Column[],
  rows: Values,
  guard = "",
): Sql<void> {
  if (rows.length === 0) return;
  const sql = updateOf(dialect, table, set, match, guard);
  yield* writeRows(sql, [...set, ...match], rows);
}

const updateTexts = new WeakMap<readonly Column[], WeakMap<readonly Column[], Map<string, string>>>();

function updateOf(dialect: Dialect, table: string, set: readonly Column[], match: readonly Column[], guard: string): string {
  let ofSet = updateTexts.get(set);
  if (ofSet === undefined) updateTexts.set(set, (ofSet = new WeakMap<readonly Column[], Map<string, string>>()));
  let known = ofSet.get(match);
  if (known === undefined) ofSet.set(match, (known = new Map<string, string>()));
  let text = known.get(dialect);
  if (text !== undefined) return text;
  text =
    dialect === "sqlite"
      ? `UPDATE ${table} SET ${set.map((column) => `${column.name} = ?`).join(", ")} WHERE ${match.map((column) => `${column.name} = ?`).join(" AND ")}${guard}`
      : `UPDATE ${table} SET ${set.map((column, at) => `${column.name} = v.s${at}`).join(", ")} FROM unnest(${arrays([...set, ...match])}) AS v(${aliases(set, match)}) WHERE ${match.map((column, at) => `${table}.${column.name} = v.m${at}`).join(" AND ")}${guard}`;
  known.set(dialect, text);
  return text;
}

/** Deletes rows that may be gone already. */
export function* deleteRows(dialect: Dialect, table: string, match: readonly Column[], rows: Values): Sql<void> {
  if (rows.length === 0) return;
  const sql =
    dialect === "sqlite"
      ? `DELETE FROM ${table} WHERE ${match.map((column) => `${column.name} = ?`).join(" AND ")}`
      : `DELETE FROM ${table} USING unnest(${arrays(match)}) AS v(${aliases([], match)}) WHERE ${match.map((column, at) => `${table}.${column.name} = v.m${at}`).join(" AND ")}`;
  yield { kind: "write", sql, types: match.map((column) => column.type), rows };
}

function* writeRows(sql: string, columns: readonly Column[], rows: Values): Sql<void> {
  if (rows.length === 0) return;
  const { count } = yield { kind: "write", sql, types: columns.map((column) => column.type), rows };
  if (count !== rows.length) throw new GuardFailed(`${count} of ${rows.length} rows were written by: ${sql}`);
}

function arrays(columns: readonly Column[]): string {
  return columns.map((column) => `?::${column.type}[]`).join(", ");
}

function aliases(set: readonly Column[], match: readonly Column[]): string {
  return [...set.map((_, at) => `s${at}`), ...match.map((_, at) => `m${at}`)].join(", ");
}
