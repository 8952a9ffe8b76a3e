/** Opens what a relay keeps its books in: the directory, the database, the ledger over it, and the keeper of rows. */
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import type { AccountStore } from "../admission/accounts.ts";
import type { KeyStore } from "../admission/keys.ts";
import type { DatabaseConfig } from "../config/config.ts";
import type { RequestFiles } from "../insight/request-file.ts";
import type { RowStore } from "../insight/row.ts";
import { LEASE_FOREVER_MS, Ledger } from "../ledger/ledger.ts";
import type { PriceStore } from "../prices/pinned.ts";
import { accessStore } from "./access-store.ts";
import type { Database } from "./database.ts";
import { openDataDirectory } from "./data-directory.ts";
import type { DataDirectory } from "./data-directory.ts";
import type { ControlRecords } from "./queries/queries.ts";
import { RowKeeper } from "./keeper/row-keeper.ts";
import { Spool } from "./keeper/spool.ts";
import { SqliteStore } from "./sqlite/store.ts";
import { storeOver } from "./store.ts";
import type { Store } from "./store.ts";
import { Sweeper } from "./keeper/sweeper.ts";
import type { Write } from "./tables/writes.ts";

/** A relay that says nothing for so long counts as dead: another one ends its holds. */
const LEASE_MS = 30_000;
/** How long a start waits for a database that was there and is not. */
const START_WITHIN_MS = 30_000;
const START_PAUSE_MS = 100;
/** Name of the only relay that can use an embedded database. */
const EMBEDDED = "embedded";

export interface BooksSettings {
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  readonly durability: "process" | "power";
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export interface Books {
  readonly store: Store;
  /** The same for admission. */
  readonly access: KeyStore & AccountStore;
  readonly ledger: Ledger<Write>;
  readonly rows: RowStore;
  readonly files: RequestFiles;
  readonly prices: PriceStore;
  /** Nano-USD left of the credit that an account was given and did not pay for. */
  readonly givenTo: (accountId: string) => Promise<bigint>;
  /** Accounts and keys as they are stored. */
  readonly records: ControlRecords;
  /** True while other relays may have changed what is not known here: the database that they share does not answer. */
  readonly mayBeBehind: () => boolean;
  /** Calls back with what other relays change from now on. */
  watch(onRecords: (records: ControlRecords) => void): void;
  /** Stores what waits, and lets go of everything. */
  close(): Promise<void>;
}

/**
 * What a spool file still holds is stored before the holds of an earlier life are ended: then they end as they did.
 * @throws with a sentence for people: the directory is in use, the database does not answer or is of a newer program.
 */
export async function openBooks(settings: BooksSettings): Promise<Books> {
  const directory = openDataDirectory(settings.dataDir);
  try {
    if (directory.restoring !== null)
      throw new Error(`a restore into ${directory.path} was cut short: run it again, or remove the directory`);
    return await openIn(directory, settings);
  } catch (error) {
    directory.release();
    throw error;
  }
}

async function openIn(directory: DataDirectory, settings: BooksSettings): Promise<Books> {
  const { onTrouble } = settings;
  const database = await openDatabase(directory, settings);
  const { isShared } = database;
  const ledger = new Ledger(database, {
    node: isShared ? directory.node : EMBEDDED,
    leaseMs: isShared ? LEASE_MS : LEASE_FOREVER_MS,
    onTrouble,
  });
  const store = storeOver(database, ledger);
  const rows = new RowKeeper({ store, ledger, spool: new Spool(join(directory.path, "spool")), onTrouble });
  const sweeper = new Sweeper({ store, ledger, deadAfterMs: isShared ? LEASE_MS : null, onTrouble });
  const close = async (): Promise<void> => {
    sweeper.close();
    await ledger.close();
    rows.close();
    await database.close();
    directory.release();
  };
  try {
    await startLedger(database, rows, ledger);
    const records = await store.query("records", { since: -1 });
    sweeper.start();
    const watch: Books["watch"] = (onRecords) => database.watch(records.version, onRecords);
    const files: RequestFiles = { requestFile: (id, accountId) => store.query("request", { id, accountId }) };
    const prices: PriceStore = {
      keepPrice: async (id, version) => (await store.write([{ kind: "price", id, version, at: Date.now() }])) === null,
    };
    const givenTo: Books["givenTo"] = (accountId) => store.query("given", { accountId });
    const mayBeBehind = (): boolean => isShared && database.trouble !== null;
    return { store, access: accessStore(store), ledger, rows, files, prices, givenTo, records, mayBeBehind, watch, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A database that is away for a moment just now is waited for. */
async function startLedger(database: Database, rows: RowKeeper, ledger: Ledger<Write>): Promise<void> {
  const deadline = performance.now() + START_WITHIN_MS;
  for (;;) {
    while (database.trouble !== null && performance.now() < deadline) await sleep(START_PAUSE_MS);
    try {
      await rows.catchUp();
      return await ledger.start();
    } catch (error) {
      if (!database.isShared || performance.now() > deadline) throw error;
    }
    await sleep(START_PAUSE_MS);
  }
}

/** The driver of PostgreSQL is loaded where it is needed. */
async function openDatabase({ path, node }: DataDirectory, { database, durability, onTrouble }: BooksSettings): Promise<Database> {
  if (database.kind === "sqlite") return SqliteStore.open({ path: database.path, durability, onTrouble });
  const [{ PostgresStore: Postgres }, { NameTaken }] = await Promise.all([import("./postgres/store.ts"), import("./postgres/name.ts")]);
  const store = await Postgres.open({ connection: { connectionString: database.url }, durability, name: node, onTrouble });
  try {
    await store.takeName();
    return store;
  } catch (error) {
    await store.close();
    if (!(error instanceof NameTaken)) throw error;
    const remedy = `if ${path} is a copy of its data directory, remove the file ${join(path, "node")} and start again; else stop the other one`;
    throw new Error(`another relay on this database has the name ${node}, too: ${remedy}`);
  }
}
