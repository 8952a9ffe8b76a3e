/**
 * The only writer of the database, in a thread of its own, so that a sync of the disk never stalls a stream.
 * It gets batches and answers each once it is committed; what arrives meanwhile makes the next batch.
 */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { Account } from "../admission/accounts.ts";
import type { KeyRecord } from "../admission/keys.ts";
import type { Operation, Result } from "../ledger/operation.ts";
import type { AttemptRow, RequestRow } from "../insight/row.ts";
import type { Seat } from "./ledger-commit.ts";
import { SqliteLedger } from "./ledger-sqlite.ts";
import { migrate } from "./schema.ts";

export type Write =
  | { readonly kind: "row"; readonly row: RequestRow }
  | { readonly kind: "account"; readonly account: Account; readonly isUpdate: boolean }
  | { readonly kind: "key"; readonly key: Omit<KeyRecord, "sha256"> & { readonly sha256: Uint8Array }; readonly isUpdate: boolean };

export interface Batch {
  readonly writes: readonly Write[];
  /** Sync to the disk before the answer: for what people decided, such as a revoked key. */
  readonly isFull: boolean;
}

/** Operations of the ledger: one batch, one transaction. */
export interface LedgerBatch {
  readonly seat: Seat;
  readonly operations: readonly Operation[];
}

export interface LedgerAnswer {
  readonly results: readonly Result[];
}

/** Operations that people decided: these are synced to the disk before they are answered. */
const DECIDED: ReadonlySet<Operation["kind"]> = new Set([
  "credit",
  "adjust",
  "correct",
  "open_wallet",
  "set_wallet",
  "set_budget",
  "reserve_refund",
  "finish_refund",
]);

/** Which writes of the batch failed, by their place in it; empty when all are committed. */
export interface BatchAnswer {
  readonly failed: readonly { readonly at: number; readonly reason: string }[];
}

const database = new DatabaseSync((workerData as { path: string }).path, { timeout: 5_000 });
database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;");
migrate(database);

const insertRequest = database.prepare(
  `INSERT INTO requests (id, at, account_id, key_id, door, model, upstream, upstream_model, stream, status, end_reason, error_code, marks,
     input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, basis, events, bytes_out,
     ttft_ms, itl_mean_ms, itl_max_ms, overhead_ms, duration_ms, price_id, charge_nanos, cost_nanos)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (id) DO NOTHING`,
);
const insertAttempt = database.prepare(
  `INSERT INTO attempts (request_id, n, upstream, upstream_model, outcome, status, detail, upstream_request_id,
     input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, ttft_ms, duration_ms)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (request_id, n) DO NOTHING`,
);
const insertAccount = database.prepare("INSERT INTO accounts (id, name, metered, created_at, tier, status) VALUES (?, ?, ?, ?, ?, ?)");
const updateAccount = database.prepare("UPDATE accounts SET name = ?, tier = ?, status = ? WHERE id = ?");
const insertKey = database.prepare(
  `INSERT INTO keys (id, account_id, name, sha256, hint, created_at, expires_at, revoked_at, scopes, models, addresses)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const updateKey = database.prepare(
  "UPDATE keys SET name = ?, expires_at = ?, revoked_at = coalesce(revoked_at, ?), scopes = ?, models = ?, addresses = ? WHERE id = ?",
);

function writeRow(row: RequestRow): void {
  const usage = row.usage;
  insertRequest.run(
    row.id,
    row.at,
    row.accountId,
    row.keyId,
    row.door,
    row.model,
    row.upstream,
    row.upstreamModel,
    row.isStream ? 1 : 0,
    row.status,
    row.endReason,
    row.errorCode,
    row.marks.join(","),
    usage.input,
    usage.cachedInput,
    usage.cacheWrite,
    usage.output,
    usage.reasoning,
    row.basis,
    row.events,
    row.bytesOut,
    row.ttftMs,
    row.itlMeanMs,
    row.itlMaxMs,
    row.overheadMs,
    row.durationMs,
    row.priceId,
    row.chargeNanos === null ? null : BigInt(row.chargeNanos),
    row.costNanos === null ? null : BigInt(row.costNanos),
  );
  for (const attempt of row.attempts) writeAttempt(row.id, attempt);
}

function writeAttempt(requestId: string, attempt: AttemptRow): void {
  const usage = attempt.usage;
  insertAttempt.run(
    requestId,
    attempt.n,
    attempt.upstream,
    attempt.upstreamModel,
    attempt.outcome,
    attempt.status,
    attempt.detail,
    attempt.upstreamRequestId,
    usage?.input ?? null,
    usage?.cachedInput ?? null,
    usage?.cacheWrite ?? null,
    usage?.output ?? null,
    usage?.reasoning ?? null,
    attempt.ttftMs,
    attempt.durationMs,
  );
}

function apply(write: Write): void {
  switch (write.kind) {
    case "row":
      return writeRow(write.row);
    case "account":
      return writeAccount(write.account, write.isUpdate);
    case "key":
      return writeKey(write.key, write.isUpdate);
  }
}

function writeAccount(account: Account, isUpdate: boolean): void {
  const { id, name, isMetered, createdAt, tier, status } = account;
  if (isUpdate) updateAccount.run(name, tier, status, id);
  else insertAccount.run(id, name, isMetered ? 1 : 0, createdAt, tier, status);
}

function writeKey(key: Extract<Write, { kind: "key" }>["key"], isUpdate: boolean): void {
  const limits = [key.scopes, key.models, key.addresses].map((list) => (list === null ? null : JSON.stringify(list)));
  if (isUpdate) updateKey.run(key.name, key.expiresAt, key.revokedAt, ...limits, key.id);
  else insertKey.run(key.id, key.accountId, key.name, key.sha256, key.hint, key.createdAt, key.expiresAt, key.revokedAt, ...limits);
}

/** All writes in one transaction; null when they are committed, else the reason why none is. */
function commit(writes: readonly Write[]): string | null {
  try {
    database.exec("BEGIN IMMEDIATE");
    for (const write of writes) apply(write);
    database.exec("COMMIT");
    return null;
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    return error instanceof Error ? error.message : String(error);
  }
}

/** A batch that fails is taken apart, so that one bad write refuses only itself. */
function answer(batch: Batch): BatchAnswer {
  database.exec(`PRAGMA synchronous = ${batch.isFull ? "FULL" : "NORMAL"}`);
  const reason = commit(batch.writes);
  if (reason === null) return { failed: [] };
  if (batch.writes.length === 1) return { failed: [{ at: 0, reason }] };
  return {
    failed: batch.writes.map((write, at) => ({ at, reason: commit([write]) })).filter((entry) => entry.reason !== null) as {
      at: number;
      reason: string;
    }[],
  };
}

const port = parentPort;
if (port === null) throw new Error("sqlite-writer runs as a worker thread");
const ledger = new SqliteLedger(database);

function commitLedger({ seat, operations }: LedgerBatch): LedgerAnswer {
  const isDecided = operations.some((operation) => DECIDED.has(operation.kind));
  database.exec(`PRAGMA synchronous = ${isDecided ? "FULL" : "NORMAL"}`);
  return { results: ledger.commit(seat, operations) };
}

port.on("message", (message: Batch | LedgerBatch | "close") => {
  if (message === "close") {
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    database.close();
    port.close();
    return;
  }
  port.postMessage("seat" in message ? commitLedger(message) : answer(message));
});
port.postMessage({ failed: [] } satisfies BatchAnswer);
