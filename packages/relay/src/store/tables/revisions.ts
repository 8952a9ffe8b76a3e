/** The numbers of configurations, one after the other over all relays on a database. */
import type { NewRevision } from "../../config/revision.ts";
import { shapeOf, valuesOf } from "../sql/shape.ts";
import { read, writeRows } from "../sql/sql.ts";
import type { RowsStatement, Sql } from "../sql/sql.ts";
import { insertInto } from "../sql/statements.ts";

const REVISIONS = shapeOf<NewRevision & { readonly number: number }>("revisions", {
  number: ["number", "count"],
  at: ["at", "count"],
  author: ["author", "text"],
  source: ["source", "text"],
  reason: ["reason", "text"],
  contentHash: ["content_hash", "text"],
});

/** The lock of the count of changes: two relays never take the same number. */
const LOCK: RowsStatement = { sql: "UPDATE control_version SET version = version WHERE id = 1", types: [], isExact: true };
const NEWEST = "SELECT number, content_hash FROM revisions ORDER BY number DESC LIMIT 1";
const BY_CONTENT = "SELECT number FROM revisions WHERE content_hash = ? ORDER BY number DESC LIMIT 1";
const INSERT = insertInto(REVISIONS);

/** Gives the next number to a configuration, unless the newest one has the same content. */
export function* writeRevision(revision: NewRevision): Sql<void> {
  yield* writeRows(LOCK, [[]]);
  const [newest] = yield* read(NEWEST, []);
  if (newest?.["content_hash"] === revision.contentHash) return;
  const number = Number(newest?.["number"] ?? 0) + 1;
  yield* writeRows(INSERT, [valuesOf(REVISIONS, { ...revision, number })]);
}

/** The newest number of a content, or null. */
export function* readRevision(contentHash: string): Sql<number | null> {
  const [row] = yield* read(BY_CONTENT, [contentHash]);
  return row === undefined ? null : Number(row["number"]);
}
