/**
 * The ledger's tables, the same for SQLite and PostgreSQL. Money is nano-USD, time is milliseconds since 1970.
 * What the engine promises is asked here again, where a bug in it would still be stopped.
 */
import { inEach } from "../sql/dialect.ts";
import type { ByDialect } from "../sql/dialect.ts";

const PLATFORM_ACCOUNTS = ["cash", "revenue", "promo_cost", "breakage", "refund_clearing", "adjust"];
/** SQLite's trigger on `holds`. */
export const SQLITE_HOLDS_STAY_CLOSED =
  "CREATE TRIGGER holds_stay_closed BEFORE UPDATE ON holds WHEN OLD.state <> 'open' BEGIN SELECT RAISE(ABORT, 'closed holds never change'); END;";

/** Tables whose rows never change. */
const APPEND_ONLY = ["transfers", "lot_moves", "corrections"];

const TABLES = `
CREATE TABLE ledger_accounts (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('wallet', 'cash', 'revenue', 'promo_cost', 'breakage', 'refund_clearing', 'adjust')),
  currency TEXT NOT NULL CHECK (length(currency) = 3)
) TABLE_END;
CREATE TABLE wallets (
  id TEXT PRIMARY KEY REFERENCES ledger_accounts(id), account_id TEXT NOT NULL UNIQUE,
  balance I64 NOT NULL, held I64 NOT NULL CHECK (held >= 0), floor I64 NOT NULL CHECK (floor <= 0),
  status TEXT NOT NULL CHECK (status IN ('active', 'frozen', 'closed')), seq I64 NOT NULL CHECK (seq >= 0), hold_count I64 NOT NULL
) TABLE_END;
CREATE TABLE transfers (
  id TEXT PRIMARY KEY, cause TEXT NOT NULL,
  debit TEXT NOT NULL REFERENCES ledger_accounts(id), credit TEXT NOT NULL REFERENCES ledger_accounts(id),
  amount I64 NOT NULL CHECK (amount > 0),
  code TEXT NOT NULL CHECK (code IN ('topup', 'promo', 'comp', 'usage', 'usage_promo', 'correction', 'expire',
    'refund_reserve', 'refund_done', 'refund_undo', 'adjust')),
  wallet_id TEXT REFERENCES wallets(id), wallet_seq I64, balance_after I64, hold_id TEXT, reason TEXT, actor TEXT, created_at I64 NOT NULL,
  CHECK (debit <> credit), CHECK (wallet_id IS NULL OR wallet_id = debit OR wallet_id = credit),
  CHECK ((wallet_id IS NULL) = (wallet_seq IS NULL)), CHECK ((wallet_id IS NULL) = (balance_after IS NULL))
) TABLE_END;
CREATE UNIQUE INDEX transfers_wallet ON transfers(wallet_id, wallet_seq);
CREATE TABLE lots (
  id TEXT PRIMARY KEY, wallet_id TEXT NOT NULL REFERENCES wallets(id), kind TEXT NOT NULL CHECK (kind IN ('paid', 'promo', 'comp')),
  reference TEXT NOT NULL UNIQUE, amount I64 NOT NULL CHECK (amount > 0),
  remaining I64 NOT NULL CHECK (remaining >= 0 AND remaining <= amount), priority I64 NOT NULL,
  refundable I64 NOT NULL CHECK (refundable IN (0, 1)), expires_at I64, expired_after_hold I64, created_at I64 NOT NULL,
  CHECK (kind = 'paid' OR refundable = 0)
) TABLE_END;
CREATE INDEX lots_left ON lots(wallet_id) WHERE remaining > 0;
CREATE INDEX lots_expiring ON lots(expires_at) WHERE remaining > 0;
CREATE TABLE lot_moves (
  transfer_id TEXT NOT NULL REFERENCES transfers(id), lot_id TEXT NOT NULL REFERENCES lots(id), delta I64 NOT NULL CHECK (delta <> 0),
  PRIMARY KEY (transfer_id, lot_id)
) TABLE_END;
CREATE TABLE budgets (
  id TEXT PRIMARY KEY, scope TEXT NOT NULL, period TEXT NOT NULL CHECK (period IN ('day', 'week', 'month', 'total')),
  cap I64 NOT NULL CHECK (cap >= 0)
) TABLE_END;
CREATE TABLE budget_windows (
  id TEXT PRIMARY KEY, budget_id TEXT NOT NULL REFERENCES budgets(id), starts_at I64 NOT NULL,
  spent I64 NOT NULL CHECK (spent >= 0), held I64 NOT NULL CHECK (held >= 0), UNIQUE (budget_id, starts_at)
) TABLE_END;
CREATE TABLE holds (
  id TEXT PRIMARY KEY, account_id TEXT NOT NULL, wallet_id TEXT REFERENCES wallets(id), key_id TEXT NOT NULL, model TEXT NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('full', 'sliding')), price_id TEXT NOT NULL, node TEXT NOT NULL, epoch I64 NOT NULL, idem_key TEXT,
  ordinal I64 NOT NULL, amount I64 NOT NULL CHECK (amount >= 0), state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'voided', 'recovered')),
  checkpoint_seq I64 NOT NULL CHECK (checkpoint_seq >= 0), checkpoint_charge I64 NOT NULL CHECK (checkpoint_charge >= 0),
  input_tokens I64 NOT NULL CHECK (input_tokens >= 0), output_tokens I64 NOT NULL CHECK (output_tokens >= 0),
  charged I64 CHECK (charged >= 0), written_off I64 NOT NULL CHECK (written_off >= 0),
  basis TEXT CHECK (basis IN ('exact', 'estimated', 'checkpoint', 'none')), end_reason TEXT, created_at I64 NOT NULL, closed_at I64,
  CHECK ((state = 'open') = (closed_at IS NULL)), CHECK ((state = 'open') = (charged IS NULL)),
  CHECK ((state = 'open') = (basis IS NULL)), CHECK (state <> 'voided' OR charged = 0), CHECK (closed_at >= created_at)
) TABLE_END;
CREATE INDEX holds_open_node ON holds(node) WHERE state = 'open';
CREATE INDEX holds_open_wallet ON holds(wallet_id) WHERE state = 'open';
CREATE TABLE hold_budgets (
  hold_id TEXT NOT NULL REFERENCES holds(id), window_id TEXT NOT NULL REFERENCES budget_windows(id), PRIMARY KEY (hold_id, window_id)
) TABLE_END;
CREATE TABLE corrections (
  hold_id TEXT PRIMARY KEY REFERENCES holds(id), cost I64 NOT NULL CHECK (cost >= 0), delta I64 NOT NULL,
  written_off I64 NOT NULL CHECK (written_off >= 0), created_at I64 NOT NULL
) TABLE_END;
CREATE TABLE idempotency_keys (
  account_id TEXT NOT NULL, idem_key TEXT NOT NULL, hold_id TEXT NOT NULL REFERENCES holds(id), body_sha256 TEXT NOT NULL,
  created_at I64 NOT NULL, PRIMARY KEY (account_id, idem_key)
) TABLE_END;
CREATE TABLE refunds (
  id TEXT PRIMARY KEY, lot_id TEXT NOT NULL REFERENCES lots(id), wallet_id TEXT NOT NULL REFERENCES wallets(id),
  amount I64 NOT NULL CHECK (amount > 0), state TEXT NOT NULL CHECK (state IN ('reserved', 'done', 'failed')),
  actor TEXT NOT NULL, created_at I64 NOT NULL, closed_at I64, CHECK ((state = 'reserved') = (closed_at IS NULL))
) TABLE_END;
CREATE TABLE nodes (id TEXT PRIMARY KEY, epoch I64 NOT NULL CHECK (epoch >= 1), lease_until I64 NOT NULL) TABLE_END;
`;

/** What makes one of its tables as `LEDGER_SCHEMA` does, without its indexes and triggers. */
export function ledgerTable(name: string): string {
  const [text] = new RegExp(`CREATE TABLE ${name} \\([^]*?TABLE_END;`).exec(TABLES) ?? [];
  if (text === undefined) throw new Error(`the ledger has no table ${name}`);
  return text;
}

/** A table whose rows lie in the order of their key, where a kind of database has such. */
export function withoutRowid(table: string): string {
  return replaceOnce(table, " TABLE_END", " TABLE_END, WITHOUT ROWID");
}

/** @throws when the text does not have it exactly once: a step would come out other than it is meant. */
export function replaceOnce(text: string, old: string, by: string): string {
  const at = text.indexOf(old);
  if (at < 0 || text.indexOf(old, at + 1) >= 0) throw new Error(`not once in the text: ${old}`);
  return text.slice(0, at) + by + text.slice(at + old.length);
}

/** Refuses to change what stands in a table. PostgreSQL's function for it comes with the ledger. */
const REFUSE_CHANGES: ByDialect<(table: string) => string> = {
  sqlite: (table) =>
    ["UPDATE", "DELETE"]
      .map(
        (verb) =>
          `CREATE TRIGGER ${table}_no_${verb.toLowerCase()} BEFORE ${verb} ON ${table} BEGIN SELECT RAISE(ABORT, '${table} never change'); END;`,
      )
      .join("\n"),
  postgres: (table) =>
    `CREATE TRIGGER ${table}_never_change BEFORE UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION millrace_refuse();
CREATE TRIGGER ${table}_never_emptied BEFORE TRUNCATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION millrace_refuse();`,
};

/** Refuses to change what stands in these tables. */
export function appendOnly(tables: readonly string[]): ByDialect<string> {
  return inEach(({ name }) => tables.map(REFUSE_CHANGES[name]).join("\n"));
}

const TRIGGERS: ByDialect<string> = {
  sqlite: `${appendOnly(APPEND_ONLY).sqlite}
${SQLITE_HOLDS_STAY_CLOSED}
`,
  postgres: `CREATE FUNCTION millrace_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% never change', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$;
${appendOnly(APPEND_ONLY).postgres}
CREATE TRIGGER holds_stay_closed BEFORE UPDATE ON holds FOR EACH ROW WHEN (OLD.state <> 'open') EXECUTE FUNCTION millrace_refuse();
`,
};

const ACCOUNTS = PLATFORM_ACCOUNTS.map((id) => `('${id}', '${id}', 'USD')`).join(", ");

/** The whole of it, for an empty database. `ledger_accounts` holds our own accounts and a row for every wallet. */
export const LEDGER_SCHEMA: ByDialect<string> = inEach(
  ({ name, schema }) => `${schema(TABLES)}\nINSERT INTO ledger_accounts (id, kind, currency) VALUES ${ACCOUNTS};\n${TRIGGERS[name]}`,
);
