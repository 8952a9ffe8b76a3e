/** What is written besides the ledger: rows of requests, accounts, keys, members, the audit. A list of writes is stored whole or not at all. */
import type { Account } from "../admission/accounts.ts";
import type { KeyRecord } from "../admission/keys.ts";
import type { AuditNote } from "../control/audit-entry.ts";
import type { Member } from "../control/member.ts";
import type { RequestRow } from "../insight/row.ts";
import { appendNotes, writeMember } from "./control-rows.ts";
import { ACCOUNTS, KEYS } from "./record-shapes.ts";
import { storedAttempts, storedRequest, writeRequests } from "./request-rows.ts";
import { insertRows, read, updateRows, upsertRows } from "./sql.ts";
import type { Column, Dialect, Sql } from "./sql.ts";
import { columnsOf, valuesOf } from "./sql-shape.ts";
import type { Shape } from "./sql-shape.ts";
import { transaction } from "./transaction.ts";

export type Write =
  | { readonly kind: "row"; readonly row: RequestRow }
  | { readonly kind: "account"; readonly account: Account; readonly isUpdate: boolean }
  | { readonly kind: "key"; readonly key: KeyRecord; readonly isUpdate: boolean }
  /** A price as it was pinned, as JSON; the same id always says the same. */
  | { readonly kind: "price"; readonly id: string; readonly version: string; readonly at: number }
  | { readonly kind: "member"; readonly member: Member; readonly isUpdate: boolean }
  | { readonly kind: "audit"; readonly note: AuditNote };

/** Writes that people decided are synced to the disk before they are answered. */
export function isDecided(write: Write): boolean {
  return write.kind !== "row" && write.kind !== "price";
}

/**
 * Within a transaction. What several relays contend for comes in one order, so that they never wait in a circle: the count
 * of changes, the audit's chain, the sums of requests.
 * @param mayBeThere see `writeRequests`.
 */
export function* applyWrites(dialect: Dialect, writes: readonly Write[], mayBeThere: boolean): Sql<void> {
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
        yield* writePrice(dialect, write);
        break;
      case "member":
        yield* writeMember(dialect, write.member, write.isUpdate);
        break;
      case "account":
        version ??= yield* nextVersion();
        yield* writeAccount(dialect, write.account, write.isUpdate, version);
        break;
      case "key":
        version ??= yield* nextVersion();
        yield* writeKey(dialect, write.key, write.isUpdate, version);
    }
  }
  if (notes.length > 0) yield* appendNotes(dialect, notes);
  if (rows.length > 0) yield* writeRequests(dialect, rows.map(storedRequest), rows.flatMap(storedAttempts), mayBeThere);
}

/** The counter's lock puts changes in the order of their commits: whoever has seen a version has seen all before it. */
function* nextVersion(): Sql<number> {
  yield { kind: "write", sql: "UPDATE control_version SET version = version + 1 WHERE id = 1", types: [], rows: [[]] };
  const [row] = yield* read("SELECT version FROM control_version", []);
  return Number(row?.["version"]);
}

const PRICE: readonly Column[] = [
  { name: "id", type: "text" },
  { name: "version", type: "text" },
  { name: "created_at", type: "bigint" },
];

function* writePrice(dialect: Dialect, { id, version, at }: Extract<Write, { kind: "price" }>): Sql<void> {
  // Whoever was first has written the same; the count of rows is one either way.
  yield* upsertRows(dialect, "price_versions", PRICE, [[id, version, at]], "ON CONFLICT (id) DO UPDATE SET id = excluded.id");
}

const ACCOUNT_CHANGES = ["name", "tier", "status", "version"] as const;
const KEY_CHANGES = ["name", "expiresAt", "revokedAt", "scopes", "models", "addresses", "limits", "budgets", "version"] as const;
const ACCOUNT_ID = ["id"] as const;
const KEY_ID = ["id"] as const;

function* writeAccount(dialect: Dialect, account: Account, isUpdate: boolean, version: number): Sql<void> {
  // What is closed is closed for good, whatever a slower change says.
  if (isUpdate) yield* change(dialect, ACCOUNTS, ACCOUNT_CHANGES, ACCOUNT_ID, { ...account, version }, " AND accounts.status <> 'closed'");
  else yield* insertRows(dialect, ACCOUNTS.table, columnsOf(ACCOUNTS), [valuesOf(ACCOUNTS, { ...account, version })]);
}

/** A key that is revoked stays so, at the first time, whatever a slower change says. */
function* writeKey(dialect: Dialect, key: KeyRecord, isUpdate: boolean, version: number): Sql<void> {
  if (!isUpdate) return yield* insertRows(dialect, KEYS.table, columnsOf(KEYS), [valuesOf(KEYS, { ...key, version })]);
  const [known] = yield* read("SELECT revoked_at FROM keys WHERE id = ?", [key.id]);
  const revokedAt = known?.["revoked_at"] ?? key.revokedAt;
  yield* change(dialect, KEYS, KEY_CHANGES, KEY_ID, { ...key, revokedAt: revokedAt === null ? null : Number(revokedAt), version });
}

function* change<T>(
  dialect: Dialect,
  shape: Shape<T>,
  set: readonly (keyof T & string)[],
  match: readonly (keyof T & string)[],
  row: T,
  guard = "",
): Sql<void> {
  const values = [...valuesOf(shape, row, set), ...valuesOf(shape, row, match)];
  yield* updateRows(dialect, shape.table, columnsOf(shape, set), columnsOf(shape, match), [values], guard);
}

/** Null when it is stored. */
export type WriteOutcome = WriteFailure | null;

interface WriteFailure {
  readonly reason: string;
  /** The writes themselves are to blame: they fail the next time too, while others are stored. */
  readonly isOwn: boolean;
}

/**
 * Many units in one transaction, each stored whole or not at all. Where they fail together each is tried alone, so that
 * a bad one refuses only itself.
 * @throws when the connection is lost: then the outcome is unknown, and the same may be asked again.
 */
export function* commitWrites(dialect: Dialect, units: readonly (readonly Write[])[]): Sql<WriteOutcome[]> {
  if (units.length === 0) return [];
  const outcome = yield* transaction((isAgain) => applyWrites(dialect, units.flat(), isAgain));
  if (outcome.ok) return units.map(() => null);
  const { reason, isEverybody } = outcome;
  if (units.length === 1 || isEverybody) return units.map(() => ({ reason, isOwn: !isEverybody }));
  const middle = units.length >> 1;
  const first = yield* commitWrites(dialect, units.slice(0, middle));
  return [...first, ...(yield* commitWrites(dialect, units.slice(middle)))];
}
