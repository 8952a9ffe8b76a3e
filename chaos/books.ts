/** What the database holds at the end, read by plain SQL that both databases understand. */

export type Query = (sql: string) => Promise<Record<string, unknown>[]>;

export interface HoldRow {
  readonly id: string;
  readonly accountId: string;
  /** Null for an account that does not pay. */
  readonly walletId: string | null;
  readonly model: string;
  readonly mode: string;
  /** The relay that made it. */
  readonly node: string;
  readonly idempotencyKey: string | null;
  readonly amount: bigint;
  readonly state: string;
  readonly charged: bigint | null;
  readonly writtenOff: bigint;
  readonly basis: string | null;
  /** Why it ended; null while it is open. */
  readonly endReason: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly checkpointSeq: number;
  readonly checkpointCharge: bigint;
  readonly createdAt: number;
  readonly closedAt: number | null;
}

interface TransferRow {
  readonly id: string;
  readonly code: string;
  readonly debit: string;
  readonly credit: string;
  readonly amount: bigint;
  readonly holdId: string | null;
}

export interface RequestRow {
  readonly id: string;
  readonly accountId: string;
  readonly status: number;
  readonly endReason: string;
  readonly basis: string;
  readonly input: number;
  readonly cached: number;
  readonly cacheWrite: number;
  readonly output: number;
  readonly reasoning: number;
  readonly charge: bigint | null;
}

export interface Books {
  readonly holds: readonly HoldRow[];
  readonly transfers: readonly TransferRow[];
  readonly wallets: readonly { readonly id: string; readonly accountId: string; readonly balance: bigint; readonly held: bigint }[];
  /** Credits given, by the reference that was sent with them. */
  readonly lots: readonly { readonly reference: string; readonly walletId: string; readonly amount: bigint }[];
  /** Costs that became known after a hold had ended. */
  readonly corrections: readonly { readonly holdId: string; readonly cost: bigint; readonly delta: bigint; readonly createdAt: number }[];
  readonly requests: readonly RequestRow[];
  /** What summaries are read from: one for each account, over all days. */
  readonly sums: readonly { readonly accountId: string; readonly requests: bigint; readonly charge: bigint }[];
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new Error(`the database holds ${String(value)} where a text belongs`);
  return value;
}

function whole(value: unknown): bigint {
  if (typeof value !== "bigint") throw new Error(`the database holds ${String(value)} where a whole number belongs`);
  return value;
}

function count(value: unknown): number {
  return Number(whole(value));
}

function orNull<T>(read: (value: unknown) => T, value: unknown): T | null {
  return value === null ? null : read(value);
}

export async function readBooks(query: Query): Promise<Books> {
  return {
    holds: (await query("SELECT * FROM holds")).map(holdRow),
    transfers: (await query("SELECT id, code, debit, credit, amount, hold_id FROM transfers")).map((row) => ({
      id: text(row["id"]),
      code: text(row["code"]),
      debit: text(row["debit"]),
      credit: text(row["credit"]),
      amount: whole(row["amount"]),
      holdId: orNull(text, row["hold_id"]),
    })),
    wallets: (await query("SELECT id, account_id, balance, held FROM wallets")).map((row) => ({
      id: text(row["id"]),
      accountId: text(row["account_id"]),
      balance: whole(row["balance"]),
      held: whole(row["held"]),
    })),
    lots: (await query("SELECT reference, wallet_id, amount FROM lots")).map((row) => ({
      reference: text(row["reference"]),
      walletId: text(row["wallet_id"]),
      amount: whole(row["amount"]),
    })),
    corrections: (await query("SELECT hold_id, cost, delta, created_at FROM corrections")).map((row) => ({
      holdId: text(row["hold_id"]),
      cost: whole(row["cost"]),
      delta: whole(row["delta"]),
      createdAt: count(row["created_at"]),
    })),
    requests: (await query(`SELECT ${REQUEST_COLUMNS} FROM requests`)).map(requestRow),
    sums: (await query(SUMS)).map((row) => ({
      accountId: text(row["account_id"]),
      requests: whole(row["requests"]),
      charge: whole(row["charge"]),
    })),
  };
}

/** PostgreSQL adds up to NUMERIC. */
const SUMS = `SELECT account_id, CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(charge_nanos) AS BIGINT) AS charge
  FROM usage_sums WHERE period = 'day' GROUP BY account_id`;

function holdRow(row: Record<string, unknown>): HoldRow {
  return {
    id: text(row["id"]),
    accountId: text(row["account_id"]),
    walletId: orNull(text, row["wallet_id"]),
    model: text(row["model"]),
    mode: text(row["mode"]),
    node: text(row["node"]),
    idempotencyKey: orNull(text, row["idem_key"]),
    amount: whole(row["amount"]),
    state: text(row["state"]),
    charged: orNull(whole, row["charged"]),
    writtenOff: whole(row["written_off"]),
    basis: orNull(text, row["basis"]),
    endReason: orNull(text, row["end_reason"]),
    inputTokens: count(row["input_tokens"]),
    outputTokens: count(row["output_tokens"]),
    checkpointSeq: count(row["checkpoint_seq"]),
    checkpointCharge: whole(row["checkpoint_charge"]),
    createdAt: count(row["created_at"]),
    closedAt: orNull(count, row["closed_at"]),
  };
}

const REQUEST_COLUMNS =
  "id, account_id, status, end_reason, basis, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, charge_nanos";

function requestRow(row: Record<string, unknown>): RequestRow {
  return {
    id: text(row["id"]),
    accountId: text(row["account_id"]),
    status: count(row["status"]),
    endReason: text(row["end_reason"]),
    basis: text(row["basis"]),
    input: count(row["input_tokens"]),
    cached: count(row["cached_input_tokens"]),
    cacheWrite: count(row["cache_write_tokens"]),
    output: count(row["output_tokens"]),
    reasoning: count(row["reasoning_tokens"]),
    charge: orNull(whole, row["charge_nanos"]),
  };
}
