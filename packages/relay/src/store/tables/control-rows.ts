/** Members, and the audit's chain: what the control plane stores besides accounts and keys. */
import { chained } from "../../control/audit-entry.ts";
import type { AuditEntry, AuditNote } from "../../control/audit-entry.ts";
import type { Member } from "../../control/access/member.ts";
import type { ByDialect } from "../sql/dialect.ts";
import { read, writeRows } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { shapeOf, valuesOf } from "../sql/shape.ts";
import { insertInto } from "../sql/statements.ts";

export const MEMBERS = shapeOf<Member>("members", {
  id: ["id", "text"],
  name: ["name", "text"],
  role: ["role", "text"],
  accountId: ["account_id", "text"],
  sha256: ["sha256", "text"],
  hint: ["hint", "text"],
  createdAt: ["created_at", "count"],
  revokedAt: ["revoked_at", "count"],
});

export const AUDIT = shapeOf<AuditEntry>("audit_log", {
  seq: ["seq", "count"],
  at: ["at", "count"],
  actor: ["actor", "text"],
  role: ["role", "text"],
  action: ["action", "text"],
  target: ["target", "text"],
  before: ["before_json", "json"],
  after: ["after_json", "json"],
  address: ["address", "text"],
  prevHash: ["prev_hash", "text"],
  hash: ["hash", "text"],
});

/** Held until the transaction ends: two relays put their notes one after the other. SQLite has one writer. */
const LOCK_CHAIN: ByDialect = { sqlite: null, postgres: "SELECT pg_advisory_xact_lock(7261002)" };
const LAST_ENTRY = "SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1";
const INSERT_ENTRIES = insertInto(AUDIT);

/** Puts notes at the end of the chain, within the transaction of what they tell of. */
export function* appendNotes(notes: readonly AuditNote[]): Sql<void> {
  if (notes.length === 0) return;
  yield* read(LOCK_CHAIN, []);
  const [row] = yield* read(LAST_ENTRY, []);
  let last = row === undefined ? null : { seq: Number(row["seq"]), hash: String(row["hash"]) };
  const entries: AuditEntry[] = [];
  for (const note of notes) {
    const entry = chained(note, last);
    entries.push(entry);
    last = entry;
  }
  yield* writeRows(
    INSERT_ENTRIES,
    entries.map((entry) => valuesOf(AUDIT, entry)),
  );
}
