/** The tables of accounts and keys, property by property. */
import type { Account } from "../admission/accounts.ts";
import type { KeyRecord } from "../admission/keys.ts";
import type { Shape } from "./sql-shape.ts";

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
