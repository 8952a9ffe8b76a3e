/** The audit as it is stored, walked from its first entry to its last. */
import { errorText } from "../../basics/error-text.ts";
import { ChainWalk } from "../../control/audit-entry.ts";
import type { AuditVerdict } from "../../control/audit-entry.ts";
import { AUDIT } from "./control-rows.ts";
import { read } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { objectOf } from "../sql/shape.ts";

const ENTRIES_AT_ONCE = 1_000;
const ENTRIES_FROM = `${AUDIT.select} WHERE seq >= ? ORDER BY seq LIMIT ?`;
/** Whatever number an entry was given: none stands before the first one unseen. */
const SEQ_MIN = -(2n ** 63n);

/** Whether every entry follows the one before it; slice by slice, for there may be many. */
export function* walkAudit(): Sql<AuditVerdict> {
  const walk = new ChainWalk();
  for (let from = SEQ_MIN; ;) {
    const rows = yield* read(ENTRIES_FROM, [from, ENTRIES_AT_ONCE]);
    for (const row of rows) {
      try {
        walk.take(objectOf(AUDIT, row));
      } catch (error) {
        // No JSON where JSON was written, or a time that is none.
        const reason = `it cannot be read: ${errorText(error)}`;
        return { ...walk.verdict, broken: { seq: Number(row["seq"]), reason } };
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < ENTRIES_AT_ONCE || walk.verdict.broken !== null) return walk.verdict;
    from = (last["seq"] as bigint) + 1n;
  }
}
