/** The embedded store: SQLite, one writer thread with group commit, reads at start on this thread. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import type { Account, AccountStore } from "../admission/accounts.ts";
import type { KeyRecord, KeyStore } from "../admission/keys.ts";
import type { Operation, Result } from "../ledger/operation.ts";
import type { RequestRow, RowStore } from "../insight/row.ts";
import { lockData } from "./data-lock.ts";
import type { DataLock } from "./data-lock.ts";
import type { Seat } from "./ledger-commit.ts";
import { RowKeeper } from "./row-keeper.ts";
import { Spool } from "./spool.ts";
import type { Batch, BatchAnswer, LedgerAnswer, LedgerBatch, Write } from "./sqlite-writer.ts";

const WAITING_MAX = 50_000;
const BATCH_MAX = 1_000;
const CLOSE_WITHIN_MS = 10_000;

interface Waiting {
  readonly write: Write | null;
  readonly isFull: boolean;
  settle(reason: string | null): void;
}

export interface SqliteSettings {
  readonly dataDir: string;
  readonly databasePath: string;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

/** The data directory is in use by another process. */
class DataDirectoryBusy extends Error {}

export class SqliteStore implements RowStore, KeyStore, AccountStore {
  readonly #worker: Worker;
  readonly #lock: DataLock;
  readonly #keeper: RowKeeper;
  readonly #settings: SqliteSettings;
  /** The writer's first answer says that the database is open and migrated. */
  readonly #ready: Promise<void>;
  #queue: Waiting[] = [];
  #inFlight: Waiting[] = [];
  #death: string | null = null;
  #ledgerWaits: { readonly count: number; resolve(results: Result[]): void } | null = null;

  private constructor(settings: SqliteSettings, lock: DataLock, worker: Worker) {
    this.#settings = settings;
    this.#lock = lock;
    this.#worker = worker;
    this.#ready = new Promise((resolve, reject) => {
      this.#inFlight = [{ write: null, isFull: false, settle: (reason) => (reason === null ? resolve() : reject(new Error(reason))) }];
    });
    this.#keeper = new RowKeeper({
      write: (row) => new Promise((resolve) => this.#add({ kind: "row", row }, false, resolve)),
      spool: new Spool(join(settings.dataDir, "spool")),
      onTrouble: settings.onTrouble,
    });
    worker.on("message", (answer: BatchAnswer | LedgerAnswer) => ("results" in answer ? this.#onLedger(answer) : this.#onAnswer(answer)));
    worker.on("error", (error) => this.#onDeath(error instanceof Error ? error.message : String(error)));
    worker.on("exit", () => this.#onDeath("the writer thread ended"));
  }

  /**
   * Opens the directory (making it, mode 0700), takes its lock, migrates, and stores what a spool file still holds.
   * @throws {DataDirectoryBusy} when another process holds the lock.
   */
  static async open(settings: SqliteSettings): Promise<SqliteStore> {
    mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 });
    const lock = lockData(settings.dataDir);
    if (lock === null)
      throw new DataDirectoryBusy(`another process uses ${settings.dataDir}: stop it, or choose another directory with --data`);
    try {
      const worker = new Worker(new URL(import.meta.url.endsWith(".ts") ? "./sqlite-writer.ts" : "./sqlite-writer.js", import.meta.url), {
        workerData: { path: settings.databasePath },
      });
      const store = new SqliteStore(settings, lock, worker);
      await store.#ready;
      await store.#keeper.catchUp();
      return store;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  get waiting(): number {
    return this.#queue.length + this.#inFlight.length;
  }

  get hasRoom(): boolean {
    return this.waiting < WAITING_MAX && this.#death === null && !this.#keeper.isSick;
  }

  /** Commits operations of the ledger in one transaction. One batch at a time: the ledger's queue sees to that. */
  commit(seat: Seat, operations: readonly Operation[]): Promise<Result[]> {
    if (this.#death !== null) return Promise.resolve(operations.map(() => ({ ok: false, code: "store_unavailable" }) as const));
    if (this.#ledgerWaits !== null) throw new Error("a batch of the ledger is under way");
    return new Promise((resolve) => {
      this.#ledgerWaits = { count: operations.length, resolve };
      this.#worker.postMessage({ seat, operations } satisfies LedgerBatch);
    });
  }

  #onLedger({ results }: LedgerAnswer): void {
    const waits = this.#ledgerWaits;
    this.#ledgerWaits = null;
    waits?.resolve([...results]);
  }

  record(row: RequestRow): Promise<void> {
    return this.#keeper.record(row);
  }

  list(): KeyRecord[] {
    return this.#read((database) =>
      database
        .prepare("SELECT id, account_id, name, sha256, hint, created_at, expires_at, revoked_at, scopes, models, addresses FROM keys")
        .all()
        .map(keyOf),
    );
  }

  insert(key: KeyRecord): Promise<void> {
    return this.#control({ kind: "key", key, isUpdate: false });
  }

  update(key: KeyRecord): Promise<void> {
    return this.#control({ kind: "key", key, isUpdate: true });
  }

  listAccounts(): Account[] {
    return this.#read((database) =>
      database.prepare("SELECT id, name, metered, created_at, tier, status FROM accounts").all().map(accountOf),
    );
  }

  insertAccount(account: Account): Promise<void> {
    return this.#control({ kind: "account", account, isUpdate: false });
  }

  updateAccount(account: Account): Promise<void> {
    return this.#control({ kind: "account", account, isUpdate: true });
  }

  /** Waits until all rows are stored, then closes. Bounded: what is left after ten seconds goes to the spool. */
  async close(): Promise<void> {
    const deadline = Date.now() + CLOSE_WITHIN_MS;
    while (this.waiting > 0 && this.#death === null && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
    this.#death ??= "the store is closed";
    const ended = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    this.#worker.postMessage("close");
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_WITHIN_MS).unref())]);
    await this.#worker.terminate();
    this.#keeper.close();
    this.#lock.release();
  }

  #control(write: Write): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#add(write, true, (reason) => (reason === null ? resolve() : reject(new Error(reason))));
    });
  }

  #read<T>(query: (database: DatabaseSync) => T): T {
    const database = new DatabaseSync(this.#settings.databasePath, { readOnly: true, timeout: 5_000 });
    try {
      return query(database);
    } finally {
      database.close();
    }
  }

  #add(write: Write, isFull: boolean, settle: Waiting["settle"]): void {
    if (this.#death !== null) return settle(this.#death);
    this.#queue.push({ write, isFull, settle });
    if (this.#inFlight.length === 0) this.#send();
  }

  #send(): void {
    if (this.#queue.length === 0) return;
    this.#inFlight = this.#queue.splice(0, BATCH_MAX);
    const batch: Batch = {
      writes: this.#inFlight.flatMap((waiting) => waiting.write ?? []),
      isFull: this.#inFlight.some((waiting) => waiting.isFull),
    };
    this.#worker.postMessage(batch);
  }

  #onAnswer(answer: BatchAnswer): void {
    const done = this.#inFlight;
    this.#inFlight = [];
    this.#send();
    const reasons = new Map(answer.failed.map((entry) => [entry.at, entry.reason]));
    done.forEach((waiting, at) => waiting.settle(reasons.get(at) ?? null));
  }

  #onDeath(reason: string): void {
    if (this.#death !== null) return;
    this.#death = reason;
    this.#settings.onTrouble(`the store stopped: ${reason}`);
    const left = [...this.#inFlight, ...this.#queue];
    this.#inFlight = [];
    this.#queue = [];
    for (const waiting of left) waiting.settle(reason);
    const ledger = this.#ledgerWaits;
    if (ledger !== null)
      this.#onLedger({ results: Array.from({ length: ledger.count }, () => ({ ok: false, code: "store_unavailable" }) as const) });
  }
}

function keyOf(row: Record<string, unknown>): KeyRecord {
  return {
    id: String(row["id"]),
    accountId: String(row["account_id"]),
    name: String(row["name"]),
    sha256: Buffer.from(row["sha256"] as Uint8Array),
    hint: String(row["hint"]),
    createdAt: Number(row["created_at"]),
    expiresAt: row["expires_at"] === null ? null : Number(row["expires_at"]),
    revokedAt: row["revoked_at"] === null ? null : Number(row["revoked_at"]),
    scopes: listOf(row["scopes"]),
    models: listOf(row["models"]),
    addresses: listOf(row["addresses"]),
  };
}

function listOf(value: unknown): string[] | null {
  return typeof value === "string" ? (JSON.parse(value) as string[]) : null;
}

function accountOf(row: Record<string, unknown>): Account {
  return {
    id: String(row["id"]),
    name: String(row["name"]),
    isMetered: row["metered"] === 1,
    tier: row["tier"] as string | null,
    status: row["status"] as Account["status"],
    createdAt: Number(row["created_at"]),
  };
}
