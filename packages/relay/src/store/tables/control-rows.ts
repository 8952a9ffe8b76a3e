/** Members, and the audit's chain: what the control plane stores besides accounts and keys. */
import { chained } from "../../control/audit-entry.ts";
import type { AuditEntry, AuditNote } from "../../control/audit-entry.ts";
import type { Member } from "../../control/access/member.ts";
import { insertRows, read } from "../sql/sql.ts";
import type { Dialect, Sql } from "../sql/sql.ts";
import { columnsOf, valuesOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";

export const MEMBERS: Shape<Member> = {
  table: "members",
  fields: {
    id: ["id", "text"],
    name: ["name", "text"],
    role: ["role", "text"],
    accountId: ["account_id", "text"],
    sha256: ["sha256", "text"],
    hint: ["hint", "text"],
    createdAt: ["created_at", "count"],
    revokedAt: ["revoked_at", "count"],
  },
};

export const AUDIT: Shape<AuditEntry> = {
  table: "audit_log",
  fields: {
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
  },
};

export const MEMBER_CHANGES = ["name", "role", "accountId", "revokedAt"] as const;

/** Held until the transaction ends: two relays put their notes one after the other. SQLite has one writer. */
const CHAIN_LOCK = 7_261_002;

/** Puts notes at the end of the chain, within the transaction of what they tell of. */
export function* appendNotes(dialect: Dialect, notes: readonly AuditNote[]): Sql<void> {
  if (notes.length === 0) return;
  if (dialect === "postgres") yield* read("SELECT pg_advisory_xact_lock(?)", [CHAIN_LOCK]);
  const [row] = yield* read("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1", []);
  let last = row === undefined ? null : { seq: Number(row["seq"]), hash: String(row["hash"]) };
  const entries: AuditEntry[] = [];
  for (const note of notes) {
    const entry = chained(note, last);
    entries.push(entry);
    last = entry;
  }
  yield* insertRows(
    dialect,
    AUDIT.table,
    columnsOf(AUDIT),
    entries.map((entry) => valuesOf(AUDIT, entry)),
  );
}
