/** The tables of accounts and keys, property by property, and how a record that people change is written. */
import { isDeepStrictEqual } from "node:util";
import type { Account } from "../../admission/accounts.ts";
import type { KeyRecord } from "../../admission/keys.ts";
import type { Member } from "../../control/access/member.ts";
import { readAmong, writeRows } from "../sql/sql.ts";
import type { Lookup, RowsStatement, Sql } from "../sql/sql.ts";
import { columnsOf, objectOf, shapeOf, valuesOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";
import { insertInto, lookup, updateOf } from "../sql/statements.ts";
import { MEMBERS } from "./control-rows.ts";

/** The count of changes at which a record was last changed. */
interface Versioned {
  readonly version: number;
}

export const ACCOUNTS = shapeOf<Account & Versioned>("accounts", {
  id: ["id", "text"],
  name: ["name", "text"],
  isMetered: ["metered", "flag"],
  createdAt: ["created_at", "count"],
  tier: ["tier", "text"],
  status: ["status", "text"],
  version: ["version", "count"],
});

export const KEYS = shapeOf<KeyRecord & Versioned>("keys", {
  id: ["id", "text"],
  accountId: ["account_id", "text"],
  name: ["name", "text"],
  sha256: ["sha256", "bytes"],
  hint: ["hint", "text"],
  createdAt: ["created_at", "count"],
  expiresAt: ["expires_at", "count"],
  revokedAt: ["revoked_at", "count"],
  scopes: ["scopes", "json"],
  models: ["models", "json"],
  addresses: ["addresses", "json"],
  limits: ["limits", "json"],
  budgets: ["budgets", "json"],
  version: ["version", "count"],
});

/** What a change was decided on is not there any more. Trying the same again does not help: it is to be decided anew. */
class ChangedMeanwhile extends Error {}

/** A table of records that people change. */
interface RecordTable<T> {
  readonly shape: Shape<T>;
  /** What can be changed. */
  readonly changes: readonly (keyof T & string)[];
  readonly find: Lookup;
  readonly insert: RowsStatement;
  readonly update: RowsStatement;
}

function recordTable<T extends { readonly id: string }>(shape: Shape<T>, changes: readonly (keyof T & string)[]): RecordTable<T> {
  const update = updateOf(shape.table, { set: columnsOf(shape, changes), match: columnsOf(shape, ["id"]) });
  return { shape, changes, find: lookup(shape.select, "id", { isLocking: true }), insert: insertInto(shape), update };
}

export const ACCOUNT_RECORDS = recordTable(ACCOUNTS, ["name", "tier", "status", "version"]);
export const KEY_RECORDS = recordTable(KEYS, [
  "name",
  "expiresAt",
  "revokedAt",
  "scopes",
  "models",
  "addresses",
  "limits",
  "budgets",
  "version",
]);
export const MEMBER_RECORDS = recordTable<Member>(MEMBERS, ["name", "role", "accountId", "revokedAt"]);

/**
 * Stores a record that is new (`before` is null), or the change of one. A change that was decided on other values than the row
 * has must not put them back: it is stored whole on what it saw, or not at all.
 */
export function* writeRecord<T extends { readonly id: string }>(
  { shape, changes, find, insert, update }: RecordTable<T>,
  record: T,
  before: Omit<T, keyof Versioned> | null,
): Sql<void> {
  if (before === null) return yield* writeRows(insert, [valuesOf(shape, record)]);
  const [row] = yield* readAmong(find, [record.id]);
  const seen = changes.filter((key) => key !== "version");
  const isAsSeen = row !== undefined && isDeepStrictEqual(valuesOf(shape, objectOf(shape, row), seen), valuesOf(shape, before as T, seen));
  if (!isAsSeen) throw new ChangedMeanwhile(`${record.id} of ${shape.table} was changed by somebody else in the meantime`);
  yield* writeRows(update, [[...valuesOf(shape, record, changes), record.id]]);
}
