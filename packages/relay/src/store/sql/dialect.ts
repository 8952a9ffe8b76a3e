/** What SQLite and PostgreSQL say differently. Statements are made from these two objects once, when their file is loaded. */

export type Dialect = "sqlite" | "postgres";

/** Types as PostgreSQL casts to them; SQLite takes values as they are. */
export type SqlType = "text" | "bigint" | "double precision" | "bytea";

export interface Column {
  readonly name: string;
  readonly type: SqlType;
}

export interface SqlDialect {
  readonly name: Dialect;
  /** The database's clock, in milliseconds since 1970. */
  readonly now: string;
  /** Follows a read whose rows stay locked until the transaction ends. SQLite has one writer and needs none. */
  readonly forUpdate: string;
  /** Text that makes tables: `I64`, `F64` and `TABLE_END` stand for what is called differently. */
  schema(text: string): string;
  /** `column` is one of a list parameter's texts. */
  among(column: string): string;
  /** The column, not to be found by its index: for SQLite, which keeps no statistics. */
  unindexed(column: string): string;
  /** Adds rows. SQLite runs the text once for each row, PostgreSQL once with the columns as arrays; so for the two that follow. */
  insert(table: string, columns: readonly Column[], end: string): string;
  /** Sets `set` where the `match` columns have the values that are given after those of `set`. */
  update(table: string, set: readonly Column[], match: readonly Column[], guard: string): string;
  remove(table: string, match: readonly Column[]): string;
}

export const SQLITE: SqlDialect = {
  name: "sqlite",
  now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
  forUpdate: "",
  schema: (text) => text.replaceAll("I64", "INTEGER").replaceAll("F64", "REAL").replaceAll(" TABLE_END", " STRICT"),
  among: (column) => `${column} IN (SELECT value FROM json_each(?))`,
  unindexed: (column) => `+${column}`,
  insert: (table, columns, end) => `INSERT INTO ${table} (${namesOf(columns)}) VALUES (${columns.map(() => "?").join(", ")})${end}`,
  update: (table, set, match, guard) => `UPDATE ${table} SET ${equal(set, ", ")} WHERE ${equal(match, " AND ")}${guard}`,
  remove: (table, match) => `DELETE FROM ${table} WHERE ${equal(match, " AND ")}`,
};

export const POSTGRES: SqlDialect = {
  name: "postgres",
  now: "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
  forUpdate: " FOR UPDATE",
  schema: (text) => text.replaceAll("I64", "BIGINT").replaceAll("F64", "DOUBLE PRECISION").replaceAll(" TABLE_END", ""),
  among: (column) => `${column} = ANY(?::text[])`,
  unindexed: (column) => column,
  insert: (table, columns, end) => `INSERT INTO ${table} (${namesOf(columns)}) SELECT * FROM unnest(${arrays(columns)})${end}`,
  update: (table, set, match, guard) =>
    `UPDATE ${table} SET ${set.map(({ name }, at) => `${name} = v.s${at}`).join(", ")} FROM ${rowsOf(set, match)} WHERE ${matching(table, match)}${guard}`,
  remove: (table, match) => `DELETE FROM ${table} USING ${rowsOf([], match)} WHERE ${matching(table, match)}`,
};

/** A text for each kind of database; null where a kind does without it. */
export type ByDialect<T = string | null> = Readonly<Record<Dialect, T>>;

export function inEach<T>(make: (dialect: SqlDialect) => T): ByDialect<T> {
  return { sqlite: make(SQLITE), postgres: make(POSTGRES) };
}

function namesOf(columns: readonly Column[]): string {
  return columns.map(({ name }) => name).join(", ");
}

function equal(columns: readonly Column[], between: string): string {
  return columns.map(({ name }) => `${name} = ?`).join(between);
}

function arrays(columns: readonly Column[]): string {
  return columns.map(({ type }) => `?::${type}[]`).join(", ");
}

/** The rows that are given, as a table `v` with the columns s0, s1, ... and m0, m1, ... */
function rowsOf(set: readonly Column[], match: readonly Column[]): string {
  const names = [...set.map((_, at) => `s${at}`), ...match.map((_, at) => `m${at}`)];
  return `unnest(${arrays([...set, ...match])}) AS v(${names.join(", ")})`;
}

function matching(table: string, match: readonly Column[]): string {
  return match.map(({ name }, at) => `${table}.${name} = v.m${at}`).join(" AND ");
}
