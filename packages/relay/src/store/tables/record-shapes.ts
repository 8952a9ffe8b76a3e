/** The tables of accounts and keys, property by property, and how a record that people change is written. */
import { isDeepStrictEqual } from "node:util";
import type { Account } from "../../admission/accounts.ts";
import type { KeyRecord } from "../../admission/keys.ts";
import { insertRows, lockRows, read, updateRows } from "../sql/sql.ts";
import type { Dialect, Sql } from "../sql/sql.ts";
import { columnsOf, objectOf, selectOf, valuesOf } from "../sql/shape.ts";
import type { Shape } from "../sql/shape.ts";

/** The count of changes at which a record was last changed. */
interface Versioned {
  readonly version: number;
}

export const ACCOUNTS: Shape<Account & Versioned> = {
  table: "accounts",
  fields: {
    id: ["id", "text"],
    name: ["name", "text"],
    isMetered: ["metered", "flag"],
    createdAt: ["created_at", "count"],
    tier: ["tier", "text"],
    status: ["status", "text"],
    version: ["version", "count"],
  },
};

export const KEYS: Shape<KeyRecord & Versioned> = {
  table: "keys",
  fields: {
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
  },
};

/** What a change was decided on is not there any more. Trying the same again does not help: it is to be decided anew. */
class ChangedMeanwhile extends Error {}

const ID = ["id"] as const;

/**
 * Stores a record that is new (`before` is null), or the change of one. A change that was decided on other values than the row
 * has must not put them back: it is stored whole on what it saw, or not at all.
 * @param changes what can be changed; a constant.
 */
export function* writeRecord<T extends { readonly id: string }>(
  dialect: Dialect,
  shape: Shape<T>,
  changes: readonly (keyof T & string)[],
  record: T,
  before: Omit<T, keyof Versioned> | null,
): Sql<void> {
  if (before === null) return yield* insertRows(dialect, shape.table, columnsOf(shape), [valuesOf(shape, record)]);
  const [row] = yield* read(`${selectOf(shape)} WHERE id = ?${lockRows(dialect)}`, [record.id]);
  const seen = changes.filter((key) => key !== "version");
  const isAsSeen = row !== undefined && isDeepStrictEqual(valuesOf(shape, objectOf(shape, row), seen), valuesOf(shape, before as T, seen));
  if (!isAsSeen) throw new ChangedMeanwhile(`${record.id} of ${shape.table} was changed by somebody else in the meantime`);
  const values = [...valuesOf(shape, record, changes), record.id];
  yield* updateRows(dialect, shape.table, columnsOf(shape, changes), columnsOf(shape as Shape<{ id: string }>, ID), [values]);
}
