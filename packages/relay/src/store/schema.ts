/** The database's shape as numbered steps. A step that has landed is never edited; the next one follows it. */
import type { DatabaseSync } from "node:sqlite";
import { ledgerSchema } from "./ledger-schema.ts";

const STEPS: readonly string[] = [
  `
  CREATE TABLE accounts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, metered INTEGER NOT NULL CHECK (metered IN (0, 1)), created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE keys (
    id TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts(id), name TEXT NOT NULL,
    sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32), hint TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER
  ) STRICT;
  CREATE TABLE requests (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, account_id TEXT NOT NULL, key_id TEXT NOT NULL, door TEXT NOT NULL,
    model TEXT NOT NULL, upstream TEXT, upstream_model TEXT, stream INTEGER NOT NULL CHECK (stream IN (0, 1)),
    status INTEGER NOT NULL, end_reason TEXT NOT NULL, error_code TEXT, marks TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    basis TEXT NOT NULL CHECK (basis IN ('exact', 'estimated', 'none')),
    events INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
    ttft_ms REAL, itl_mean_ms REAL, itl_max_ms REAL, overhead_ms REAL, duration_ms REAL NOT NULL
  ) STRICT;
  CREATE INDEX requests_at ON requests(at);
  CREATE INDEX requests_account ON requests(account_id, at);
  CREATE TABLE attempts (
    request_id TEXT NOT NULL REFERENCES requests(id), n INTEGER NOT NULL, upstream TEXT NOT NULL, upstream_model TEXT NOT NULL,
    outcome TEXT NOT NULL, status INTEGER, detail TEXT, upstream_request_id TEXT,
    input_tokens INTEGER, cached_input_tokens INTEGER, cache_write_tokens INTEGER, output_tokens INTEGER, reasoning_tokens INTEGER,
    ttft_ms REAL, duration_ms REAL NOT NULL,
    PRIMARY KEY (request_id, n)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE accounts ADD COLUMN tier TEXT;
  ALTER TABLE accounts ADD COLUMN status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'closed'));
  ALTER TABLE keys ADD COLUMN scopes TEXT;
  ALTER TABLE keys ADD COLUMN models TEXT;
  ALTER TABLE keys ADD COLUMN addresses TEXT;
  `,
  `
  ALTER TABLE requests ADD COLUMN price_id TEXT;
  ALTER TABLE requests ADD COLUMN charge_nanos INTEGER;
  ALTER TABLE requests ADD COLUMN cost_nanos INTEGER;
  ${ledgerSchema("sqlite")}
  `,
];

/** Version that this program writes. */
const SCHEMA_VERSION: number = STEPS.length;

/**
 * Brings a database to {@link SCHEMA_VERSION}, all steps or none.
 * @throws when the file was written by a newer program: serving on could lose what it knows.
 */
export function migrate(database: DatabaseSync): void {
  const found = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (found > SCHEMA_VERSION) {
    throw new Error(
      `the database has schema version ${found}, this program knows ${SCHEMA_VERSION}: run the newer millrace, or restore a backup made before it`,
    );
  }
  if (found === SCHEMA_VERSION) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    for (const step of STEPS.slice(found)) database.exec(step);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}
