/** What is written besides the ledger: rows of requests, accounts, keys, members, the audit. A list of writes is stored whole or not at all. */
import type { Account } from "../../admission/accounts.ts";
import type { KeyRecord } from "../../admission/keys.ts";
import type { NewRevision } from "../../config/revision.ts";
import type { AuditNote } from "../../control/audit-entry.ts";
import type { Member } from "../../control/access/member.ts";
import type { RequestRow } from "../../insight/row.ts";
import { appendNotes } from "./control-rows.ts";
import { ACCOUNT_RECORDS, KEY_RECORDS, MEMBER_RECORDS, writeRecord } from "./record-shapes.ts";
import { writeRevision } from "./revisions.ts";
import { storedAttempts, storedRequest, writeRequests } from "./request-rows.ts";
import { read, writeRows } from "../sql/sql.ts";
import type { RowsStatement, Sql } from "../sql/sql.ts";
import { insertInto } from "../sql/statements.ts";

export type Write =
  | { readonly kind: "row"; readonly row: RequestRow }
  /** `before` is what a change was decided on, and must still be there; null for what is new. So for keys and members. */
  | { readonly kind: "account"; readonly account: Account; readonly before: Account | null }
  | { readonly kind: "key"; readonly key: KeyRecord; readonly before: KeyRecord | null }
  /** A price as it was pinned, as JSON; the same id always says the same. */
  | { readonly kind: "price"; readonly id: string; readonly version: string; readonly at: number }
  | { readonly kind: "member"; readonly member: Member; readonly before: Member | null }
  | { readonly kind: "audit"; readonly note: AuditNote }
  /** Gives a configuration its number. */
  | { readonly kind: "revision"; readonly revision: NewRevision };

/** Writes that people decided are synced to the disk before they are answered. */
export function isDecidedWrite(write: Write): boolean {
  return write.kind !== "row" && write.kind !== "price";
}

/**
 * Within a transaction. What several relays contend for comes in one order, so that they never wait in a circle: the count
 * of changes, the audit's chain, the sums of requests.
 * @param mayBeThere see `writeRequests`.
 */
export function* applyWrites(writes: readonly Write[], mayBeThere: boolean): Sql<void> {
  const notes: AuditNote[] = [];
  const rows: RequestRow[] = [];
  let version: number | null = null;
  for (const write of writes) {
    switch (write.kind) {
      case "row":
        rows.push(write.row);
        break;
      case "audit":
        notes.push(write.note);
        break;
      case "price":
        yield* writePrice(write);
        break;
      case "revision":
        yield* writeRevision(write.revision);
        break;
      case "member":
        yield* writeRecord(MEMBER_RECORDS, write.member, write.before);
        break;
      case "account":
        version ??= yield* nextVersion();
        yield* writeRecord(ACCOUNT_RECORDS, { ...write.account, version }, write.before);
        break;
      case "key":
        version ??= yield* nextVersion();
        yield* writeRecord(KEY_RECORDS, { ...write.key, version }, write.before);
    }
  }
  if (notes.length > 0) yield* appendNotes(notes);
  if (rows.length > 0) yield* writeRequests(rows.map(storedRequest), rows.flatMap(storedAttempts), mayBeThere);
}

const COUNT_CHANGE: RowsStatement = { sql: "UPDATE control_version SET version = version + 1 WHERE id = 1", types: [], isExact: true };

/** The counter's lock puts changes in the order of their commits: whoever has seen a version has seen all before it. */
function* nextVersion(): Sql<number> {
  yield* writeRows(COUNT_CHANGE, [[]]);
  const [row] = yield* read("SELECT version FROM control_version", []);
  return Number(row?.["version"]);
}

/** Whoever was first has written the same; the count of rows is one either way. */
const KEEP_PRICES = insertInto(
  {
    table: "price_versions",
    columns: [
      { name: "id", type: "text" },
      { name: "version", type: "text" },
      { name: "created_at", type: "bigint" },
    ],
  },
  "(id) DO UPDATE SET id = excluded.id",
);

function* writePrice({ id, version, at }: Extract<Write, { kind: "price" }>): Sql<void> {
  yield* writeRows(KEEP_PRICES, [[id, version, at]]);
}
