/**
 * The database's shape as one list of steps. A step that has landed is never edited, `schema-steps.test.ts` pins its text; the
 * next one follows it. PostgreSQL came later: its first step makes what SQLite's first four do.
 */
import { appendOnly, LEDGER_SCHEMA, ledgerTable, replaceOnce, SQLITE_HOLDS_STAY_CLOSED, withoutRowid } from "./ledger-schema.ts";
import { inEach, POSTGRES, SQLITE } from "../sql/dialect.ts";
import type { ByDialect, Dialect } from "../sql/dialect.ts";

const REQUESTS = `
  CREATE TABLE requests (
    id TEXT PRIMARY KEY, at I64 NOT NULL, account_id TEXT NOT NULL, key_id TEXT NOT NULL, door TEXT NOT NULL,
    model TEXT NOT NULL, upstream TEXT, upstream_model TEXT, stream I64 NOT NULL CHECK (stream IN (0, 1)),
    status I64 NOT NULL, end_reason TEXT NOT NULL, error_code TEXT, marks TEXT NOT NULL,
    input_tokens I64 NOT NULL, cached_input_tokens I64 NOT NULL, cache_write_tokens I64 NOT NULL,
    output_tokens I64 NOT NULL, reasoning_tokens I64 NOT NULL,
    basis TEXT NOT NULL CHECK (basis IN ('exact', 'estimated', 'checkpoint', 'none')),
    events I64 NOT NULL, bytes_out I64 NOT NULL,
    ttft_ms F64, itl_mean_ms F64, itl_max_ms F64, overhead_ms F64, duration_ms F64 NOT NULL,
    price_id TEXT, charge_nanos I64, cost_nanos I64
  ) TABLE_END;`;

const REQUEST_INDEXES = `
  CREATE INDEX requests_at ON requests(at, id);
  CREATE INDEX requests_account ON requests(account_id, at, id);`;

/** Sums that summaries are read from: over millions of requests they are a few thousand rows. */
const USAGE_SUMS = `
  CREATE TABLE usage_sums (
    period TEXT NOT NULL CHECK (period IN ('hour', 'day')), starts_at I64 NOT NULL, account_id TEXT NOT NULL, key_id TEXT NOT NULL,
    model TEXT NOT NULL, upstream TEXT NOT NULL, requests I64 NOT NULL, errors I64 NOT NULL,
    input_tokens I64 NOT NULL, cached_input_tokens I64 NOT NULL, cache_write_tokens I64 NOT NULL,
    output_tokens I64 NOT NULL, reasoning_tokens I64 NOT NULL, charge_nanos I64 NOT NULL, cost_nanos I64 NOT NULL,
    PRIMARY KEY (period, starts_at, account_id, key_id, model, upstream)
  ) TABLE_END;
  CREATE INDEX usage_sums_account ON usage_sums(account_id, period, starts_at);`;

/** Counts changes of accounts and keys, so that each of several relays sees what the others did. */
const CONTROL_VERSION = `
  CREATE TABLE control_version (id I64 PRIMARY KEY CHECK (id = 1), version I64 NOT NULL) TABLE_END;
  INSERT INTO control_version (id, version) VALUES (1, 0);`;

/** What only SQLite went through. */
const SQLITE_BEGINNINGS: readonly string[] = [
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
  ${LEDGER_SCHEMA.sqlite}
  `,
];

/** The shape from which on both are the same: SQLite comes to it from its beginnings. */
const SQLITE_COMMON = `
  CREATE TABLE attempts_kept AS SELECT * FROM attempts;
  DROP TABLE attempts;
  ALTER TABLE requests RENAME TO requests_kept;
  DROP INDEX requests_at;
  DROP INDEX requests_account;
  ${SQLITE.schema(REQUESTS)}
  INSERT INTO requests SELECT * FROM requests_kept;
  DROP TABLE requests_kept;
  CREATE TABLE attempts (
    request_id TEXT NOT NULL REFERENCES requests(id), n INTEGER NOT NULL, upstream TEXT NOT NULL, upstream_model TEXT NOT NULL,
    outcome TEXT NOT NULL, status INTEGER, detail TEXT, upstream_request_id TEXT,
    input_tokens INTEGER, cached_input_tokens INTEGER, cache_write_tokens INTEGER, output_tokens INTEGER, reasoning_tokens INTEGER,
    ttft_ms REAL, duration_ms REAL NOT NULL,
    PRIMARY KEY (request_id, n)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO attempts SELECT * FROM attempts_kept;
  DROP TABLE attempts_kept;
  ${REQUEST_INDEXES}
  ${SQLITE.schema(USAGE_SUMS)}
  ${["hour", "day"].map(sumsOf).join("")}
  ${SQLITE.schema(CONTROL_VERSION)}
  ALTER TABLE accounts ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE keys ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE keys ADD COLUMN limits TEXT;
  ALTER TABLE keys ADD COLUMN budgets TEXT;
  `;

/** PostgreSQL begins with it. */
const POSTGRES_COMMON = POSTGRES.schema(
  `
  CREATE TABLE accounts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, metered I64 NOT NULL CHECK (metered IN (0, 1)), created_at I64 NOT NULL, tier TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'closed')), version I64 NOT NULL
  ) TABLE_END;
  CREATE INDEX accounts_version ON accounts(version);
  CREATE TABLE keys (
    id TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts(id), name TEXT NOT NULL,
    sha256 BYTEA NOT NULL UNIQUE CHECK (octet_length(sha256) = 32), hint TEXT NOT NULL,
    created_at I64 NOT NULL, expires_at I64, revoked_at I64, scopes TEXT, models TEXT, addresses TEXT, limits TEXT, budgets TEXT,
    version I64 NOT NULL
  ) TABLE_END;
  CREATE INDEX keys_version ON keys(version);
  ${REQUESTS}
  ${REQUEST_INDEXES}
  CREATE TABLE attempts (
    request_id TEXT NOT NULL REFERENCES requests(id), n I64 NOT NULL, upstream TEXT NOT NULL, upstream_model TEXT NOT NULL,
    outcome TEXT NOT NULL, status I64, detail TEXT, upstream_request_id TEXT,
    input_tokens I64, cached_input_tokens I64, cache_write_tokens I64, output_tokens I64, reasoning_tokens I64,
    ttft_ms F64, duration_ms F64 NOT NULL, PRIMARY KEY (request_id, n)
  ) TABLE_END;
  ${USAGE_SUMS}
  ${CONTROL_VERSION}
  ${LEDGER_SCHEMA.postgres}`,
);

/** Null: that kind of database does not have the step, and does not count it. An empty one counts. */
type Step = ByDialect;

/**
 * What requests of a rare end or status are found by. A whole answer, which most are, stands in none of them and costs nothing; a
 * question has to say that it asks for no such, see the requests in `queries/control.ts`.
 */
const UNUSUAL_ENDS = `
  CREATE INDEX requests_end ON requests(end_reason, at, id) WHERE end_reason <> 'complete';
  CREATE INDEX requests_account_end ON requests(account_id, end_reason, at, id) WHERE end_reason <> 'complete';
  CREATE INDEX requests_status ON requests(status, at, id) WHERE status <> 200;
  CREATE INDEX requests_account_status ON requests(account_id, status, at, id) WHERE status <> 200;`;

/** What the few charges are found by that could not be taken whole. */
const WRITTEN_OFF = `
  CREATE INDEX holds_written_off ON holds(closed_at, id) WHERE written_off > 0;
  CREATE INDEX corrections_written_off ON corrections(hold_id) WHERE written_off > 0;`;

/**
 * The column `door` is called `endpoint` from here on. Programs that read the table themselves still find the old name: it is a
 * column that is computed from the new one. PostgreSQL 15 can only store such a column, SQLite computes it when it is read.
 */
const ENDPOINT_COLUMN: Step = inEach(
  ({ name }) => `
  ALTER TABLE requests RENAME COLUMN door TO endpoint;
  ALTER TABLE requests ADD COLUMN door TEXT GENERATED ALWAYS AS (endpoint) ${name === "sqlite" ? "VIRTUAL" : "STORED"};`,
);

/** Numbers of configurations, and which one a request was answered by; null where it is older than the numbers. */
const REVISIONS: Step = inEach(({ name, schema }) =>
  schema(`
  CREATE TABLE revisions (
    number I64 PRIMARY KEY CHECK (number >= 1), at I64 NOT NULL, author TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('file', 'environment', 'api', 'command')),
    reason TEXT NOT NULL, content_hash TEXT NOT NULL CHECK (length(content_hash) = 64)
  ) TABLE_END;
  CREATE INDEX revisions_content ON revisions(content_hash, number);
  ${appendOnly(["revisions"])[name]}
  ALTER TABLE requests ADD COLUMN revision I64;`),
);

/** Members of the control plane and its audit; and what lists of one account or key are found by. */
const CONTROL_SCHEMA: Step = inEach(({ name, schema }) =>
  schema(`
  CREATE TABLE members (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'viewer', 'member')),
    account_id TEXT REFERENCES accounts(id), sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64), hint TEXT NOT NULL,
    created_at I64 NOT NULL, revoked_at I64, CHECK ((role = 'member') = (account_id IS NOT NULL))
  ) TABLE_END;
  CREATE TABLE audit_log (
    seq I64 PRIMARY KEY, at I64 NOT NULL, actor TEXT NOT NULL, role TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
    before_json TEXT, after_json TEXT, address TEXT, prev_hash TEXT NOT NULL UNIQUE CHECK (length(prev_hash) = 64),
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
  ) TABLE_END;
  ${appendOnly(["audit_log"])[name]}
  CREATE INDEX lots_wallet ON lots(wallet_id, created_at, id);
  CREATE INDEX requests_key ON requests(key_id, at, id);`),
);

/**
 * SQLite reads the days of a summary one after the other when the sums lie in the order of their key: half the time, and a
 * tree less to write. PostgreSQL has no such tables: it counts this step, which is empty there.
 */
const SUMS_IN_ORDER: Step = {
  postgres: "",
  sqlite: SQLITE.schema(`
  ALTER TABLE usage_sums RENAME TO usage_sums_kept;
  DROP INDEX usage_sums_account;
  ${withoutRowid(USAGE_SUMS)}
  INSERT INTO usage_sums SELECT * FROM usage_sums_kept ORDER BY period, starts_at, account_id, key_id, model, upstream;
  DROP TABLE usage_sums_kept;`),
};

const LOTS_BY_USE = `
  CREATE INDEX lots_left ON lots(wallet_id) WHERE used_up = 0;
  CREATE INDEX lots_expiring ON lots(expires_at) WHERE used_up = 0;`;

/**
 * Reduces the index writes of each hold and settlement. (1) The rest of a lot, which nearly every settlement changes, has no index.
 * (2) Open holds are found by their node alone, because there are never many. (3) SQLite's growing tables are WITHOUT ROWID, so
 * that they need no separate tree for their keys.
 */
const LEAN_LEDGER: Step = { sqlite: SQLITE.schema(leanSqlite()), postgres: POSTGRES.schema(leanPostgres()) };

function leanPostgres(): string {
  return `
  DROP INDEX holds_open_wallet;
  DROP INDEX lots_left;
  DROP INDEX lots_expiring;
  ALTER TABLE lots ADD COLUMN used_up I64 NOT NULL DEFAULT 0;
  UPDATE lots SET used_up = 1 WHERE remaining = 0;
  ALTER TABLE lots ALTER COLUMN used_up DROP DEFAULT, ADD CONSTRAINT lots_used_up CHECK (used_up = CASE WHEN remaining = 0 THEN 1 ELSE 0 END);
  ${LOTS_BY_USE}`;
}

function leanSqlite(): string {
  const lots = replaceOnce(
    ledgerTable("lots"),
    "  CHECK (kind =",
    "  used_up I64 NOT NULL, CHECK (used_up = (remaining = 0)), CHECK (kind =",
  );
  return `
  DROP INDEX holds_open_node;
  DROP INDEX holds_open_wallet;
  DROP INDEX transfers_wallet;
  DROP INDEX lots_left;
  DROP INDEX lots_expiring;
  DROP INDEX lots_wallet;
  ${["holds", "hold_budgets", "transfers", "lot_moves"].map((name) => madeAnew(name, withoutRowid(ledgerTable(name)), "")).join("")}
  ${madeAnew("lots", lots, ", remaining = 0")}
  CREATE INDEX holds_open_node ON holds(node) WHERE state = 'open';
  CREATE UNIQUE INDEX transfers_wallet ON transfers(wallet_id, wallet_seq);
  CREATE INDEX lots_wallet ON lots(wallet_id, created_at, id);
  ${LOTS_BY_USE}
  ${appendOnly(["transfers", "lot_moves"]).sqlite}
  ${SQLITE_HOLDS_STAY_CLOSED}`;
}

/** @param more values of columns that the old table did not have. */
function madeAnew(name: string, table: string, more: string): string {
  return `
  ALTER TABLE ${name} RENAME TO ${name}_kept;
  ${table}
  INSERT INTO ${name} SELECT *${more} FROM ${name}_kept ORDER BY 1, 2;
  DROP TABLE ${name}_kept;`;
}

const STEPS: readonly Step[] = [
  ...SQLITE_BEGINNINGS.map((text): Step => ({ sqlite: text, postgres: null })),
  { sqlite: SQLITE_COMMON, postgres: POSTGRES_COMMON },
  inBoth("CREATE TABLE price_versions (id TEXT PRIMARY KEY, version TEXT NOT NULL, created_at I64 NOT NULL) TABLE_END;"),
  CONTROL_SCHEMA,
  SUMS_IN_ORDER,
  LEAN_LEDGER,
  inBoth(UNUSUAL_ENDS),
  inBoth(WRITTEN_OFF),
  ENDPOINT_COLUMN,
  REVISIONS,
];

function inBoth(text: string): Step {
  return inEach(({ schema }) => schema(text));
}

/** Every step so far of that kind of database; their number is the version that this program writes. */
export function schemaSteps(dialect: Dialect): readonly string[] {
  return STEPS.flatMap((step) => step[dialect] ?? []);
}

function stepsOf(dialect: Dialect, steps: readonly Step[]): readonly Step[] {
  return steps.filter((step) => step[dialect] !== null);
}

/** The version at which one kind of database has the shape that another has at `version`; 0 where there was none yet. */
export function versionIn(target: Dialect, dialect: Dialect, version: number): number {
  const last = stepsOf(dialect, STEPS)[version - 1];
  if (last === undefined) throw new Error(`${dialect} has no schema version ${version}`);
  return stepsOf(target, STEPS.slice(0, STEPS.indexOf(last) + 1)).length;
}

/** Sums of the rows of an older database. */
function sumsOf(period: string): string {
  const ms = period === "hour" ? 3_600_000 : 86_400_000;
  return `
  INSERT INTO usage_sums SELECT '${period}', at - at % ${ms}, account_id, key_id, model, coalesce(upstream, ''), count(*), sum(error_code IS NOT NULL),
    sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    coalesce(sum(charge_nanos), 0), coalesce(sum(cost_nanos), 0)
    FROM requests GROUP BY 2, 3, 4, 5, 6;`;
}

/** What is wrong with a database of such a version, or null: an older program could lose what a newer one knows. */
export function versionFault(dialect: Dialect, found: number): string | null {
  const known = stepsOf(dialect, STEPS).length;
  if (found <= known) return null;
  return `the database has schema version ${found}, this program knows ${known}: run the newer millrace, or restore a backup made before it`;
}
