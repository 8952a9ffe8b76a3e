/** A database as a backup reads it: one state of it, whatever is written meanwhile. */
import type { SqlValue } from "../sql/sql.ts";
import type { Head } from "./format.ts";
import type { TableLayout } from "./layout.ts";

export interface BackupSource {
  readonly head: Head;
  /** All rows of a table, some at a time. */
  rows(table: TableLayout): AsyncIterable<readonly (readonly SqlValue[])[]>;
  close(): Promise<void>;
}

/** Rows that are read or written at a time: the memory that backup and restore need is bounded by it. */
export const ROWS_AT_ONCE = 500;
