/** A new database as a restore fills it: nothing of it is seen by anybody before it is kept. */
import type { Breach } from "../ledger-audit.ts";
import type { Dialect, SqlValue } from "../sql.ts";
import type { TableLayout } from "./layout.ts";

export interface RestoreTarget {
  readonly dialect: Dialect;
  /** What it is called for people. */
  readonly name: string;
  /** Makes the empty tables of a version, this database's own number. */
  begin(version: number): Promise<void>;
  insert(table: TableLayout, rows: readonly (readonly SqlValue[])[]): Promise<void>;
  /**
   * After the last row: brings the tables to this program's version and asks the books whether they agree.
   * @param sha256 of the backup, by which a second run knows what a first one kept.
   */
  finish(sha256: string): Promise<readonly Breach[]>;
  /** Keeps it, lastingly. */
  keep(): Promise<void>;
  /** Lets go of what was not kept. */
  close(): Promise<void>;
}
