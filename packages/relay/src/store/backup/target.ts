/** A new database as a restore fills it: nothing of it is seen by anybody before it is kept. */
import type { AuditVerdict } from "../../control/audit-entry.ts";
import type { Breach } from "../ledger/audit.ts";
import type { Dialect } from "../sql/dialect.ts";
import type { SqlValue } from "../sql/sql.ts";
import type { TableLayout } from "./layout.ts";

/** What is found in a database when all rows are in it. */
export interface Findings {
  /** Where the books do not agree. */
  readonly breaches: readonly Breach[];
  /** What the audit's chain is like. */
  readonly chain: AuditVerdict;
}

/** Nothing is wrong: it may be kept. */
export function isSound({ breaches, chain }: Findings): boolean {
  return breaches.length === 0 && chain.broken === null;
}

export interface RestoreTarget {
  readonly dialect: Dialect;
  /** What it is called for people. */
  readonly name: string;
  /** Makes the empty tables of a version, this database's own number. */
  begin(version: number): Promise<void>;
  insert(table: TableLayout, rows: readonly (readonly SqlValue[])[]): Promise<void>;
  /**
   * After the last row: brings the tables to this program's version, asks the books whether they agree, and walks the audit.
   * @param sha256 of the backup, by which a second run knows what a first one kept.
   */
  finish(sha256: string): Promise<Findings>;
  /** Keeps it, lastingly. */
  keep(): Promise<void>;
  /** Lets go of what was not kept. */
  close(): Promise<void>;
}
