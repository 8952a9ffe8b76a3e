/** Makes statements, each once and under a name, when the file that needs it is loaded: a text that is built for each batch costs more than running it. */
import { inEach } from "./dialect.ts";
import type { Column, Dialect, SqlDialect } from "./dialect.ts";
import type { Lookup, RowsStatement, SqlText } from "./sql.ts";

/** Columns of a table, such as a `Shape` has. */
export interface TableColumns {
  readonly table: string;
  readonly columns: readonly Column[];
}

/** @param onConflict what follows ON CONFLICT; every row must be written all the same, but for those that a `DO NOTHING` finds there. */
export function insertInto({ table, columns }: TableColumns, onConflict?: string): RowsStatement {
  const end = onConflict === undefined ? "" : ` ON CONFLICT ${onConflict}`;
  return rowsStatement((dialect) => dialect.insert(table, columns, end), columns);
}

export interface UpdateColumns {
  readonly set: readonly Column[];
  /** What must still have the values that it was read with. */
  readonly match: readonly Column[];
  /** What else must be true of a row, as SQL. */
  readonly guard?: string;
}

/** Its rows have the values of `set` first, then those of `match`. */
export function updateOf(table: string, { set, match, guard }: UpdateColumns): RowsStatement {
  return rowsStatement((dialect) => dialect.update(table, set, match, guard === undefined ? "" : ` AND ${guard}`), [...set, ...match]);
}

/** Deletes rows that may be gone already. */
export function deleteFrom({ table, columns }: TableColumns): RowsStatement {
  return { ...rowsStatement((dialect) => dialect.remove(table, columns), columns), isExact: false };
}

function rowsStatement(text: (dialect: SqlDialect) => string, columns: readonly Column[]): RowsStatement {
  return { sql: inEach(text), types: columns.map(({ type }) => type), isExact: true };
}

export interface LookupOptions {
  /** What follows the condition on the column. */
  readonly end?: string;
  /** The rows stay locked until the transaction ends. */
  readonly isLocking?: boolean;
  /** The other kind of database is asked nothing. */
  readonly only?: Dialect;
}

/** @param select `SELECT ... FROM ...` */
export function lookup(select: string, column: string, { end = "", isLocking = false, only }: LookupOptions = {}): Lookup {
  const where = (condition: (dialect: SqlDialect) => string): SqlText =>
    inEach((dialect) => {
      const isAsked = only === undefined || only === dialect.name;
      return isAsked ? `${select} WHERE ${condition(dialect)}${end}${isLocking ? dialect.forUpdate : ""}` : null;
    });
  return { one: where(() => `${column} = ?`), many: where(({ among }) => among(column)) };
}
