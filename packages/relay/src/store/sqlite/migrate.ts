/** Brings a SQLite database to this program's shape. */
import type { DatabaseSync } from "node:sqlite";
import { schemaSteps, versionFault } from "../schema/schema.ts";

/**
 * All steps or none.
 * @param to the version to stop at; an older one than this program's is for data of that version.
 * @throws when the file was written by a newer program.
 */
export function migrateSqlite(database: DatabaseSync, to = schemaSteps("sqlite").length): void {
  const found = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  const fault = versionFault("sqlite", found);
  if (fault !== null) throw new Error(fault);
  const steps = schemaSteps("sqlite").slice(0, to);
  if (found >= steps.length) return;
  // A table that others refer to can be made anew only while nobody looks after the references.
  database.exec("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON; BEGIN IMMEDIATE");
  try {
    for (const step of steps.slice(found)) database.exec(step);
    const broken = database.prepare("PRAGMA foreign_key_check").all();
    if (broken.length > 0) throw new Error(`${broken.length} rows refer to rows that are not there`);
    database.exec(`PRAGMA user_version = ${steps.length}`);
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
  database.exec("PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON");
}
