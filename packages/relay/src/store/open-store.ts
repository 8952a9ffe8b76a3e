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
import { Awaiting } from "./awaiting.ts";
import type { Database } from "./database.ts";
import { openDataDirectory, spoolOf } from "./data-directory.ts";
import type { DataDirectory } from "./data-directory.ts";
import type { ControlRecords } from "./queries/queries.ts";
import { LeftSpools } from "./keeper/left-spools.ts";
import { RowKeeper } from "./keeper/row-keeper.ts";
import { Spool } from "./keeper/spool.ts";
import type { Draining } from "./line.ts";
import { StandbyDatabase } from "./sqlite/standby-database.ts";
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
/** A relay that ends closes its listener so soon after its delay. */
const PORT_WITHIN_MS = 5_000;
/** Name of the only relay that can use an embedded database. */
const EMBEDDED = "embedded";

export interface BooksSettings {
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  readonly durability: "process" | "power";
  /** Starts beside a relay that is draining, and takes over from it, instead of being refused. */
  readonly mayWait?: boolean;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

/** `overdue`: awaited from a relay that should be long gone. */
type BooksAre = "here" | "awaited" | "overdue";

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
  /** Until they are here rows go to a file, and all else that writes is refused as by a database that does not answer. */
  readonly are: () => BooksAre;
  /** True once they are here, false when this process was ended before; rejects when they cannot be opened. */
  readonly opened: Promise<boolean>;
  /** For how long from now a relay that ends may still have the port, in milliseconds; null where there is none. */
  readonly portFreeWithinMs: number | null;
  /** Calls back with what other relays change from now on. */
  watch(onRecords: (records: ControlRecords) => void): void;
  /** Says to a relay that starts from now on that this one ends, and when. Never throws. */
  markDraining(draining: Draining): void;
  /** Stores what waits, and lets go of everything. */
  close(): Promise<void>;
}

/**
 * What a spool file still holds is stored before the holds of an earlier life are ended: then they end as they did.
 * @throws with a sentence for people: the directory is in use, the database does not answer or is of a newer program.
 */
export async function openBooks(settings: BooksSettings): Promise<Books> {
  const directory = openDataDirectory(settings.dataDir, settings.mayWait);
  try {
    if (directory.restoring !== null)
      throw new Error(`a restore into ${directory.path} was cut short: run it again, or remove the directory`);
    return await openIn(directory, settings);
  } catch (error) {
    directory.line.release();
    throw error;
  }
}

async function openIn(directory: DataDirectory, settings: BooksSettings): Promise<Books> {
  const { line, place } = directory;
  const { database, takeOver } = await openOrAwait(directory, settings);
  const { store, ledger, rows, sweeper, spools } = keepersOf(database, directory, settings);
  const { onTrouble } = settings;
  const awaiting = new Awaiting({ line, place, onTrouble });
  let areHere = false;
  const begin = async (): Promise<void> => {
    await startLedger(database, rows, ledger);
    sweeper.start();
    areHere = true;
  };
  const succeed = async (): Promise<void> => {
    await spools.collect();
    await takeOver();
    await (areHere ? rows.catchUp() : begin());
  };
  const close = async (): Promise<void> => {
    await awaiting.end();
    spools.close();
    sweeper.close();
    await ledger.close();
    rows.close();
    await database.close();
    line.release();
  };
  try {
    if (place.number === 0) await spools.collect();
    if (database.isAwaited !== true) await begin();
    const records = await store.query("records", { since: -1 });
    const taken = awaiting.head(succeed);
    return {
      ...portsOf(store),
      store,
      ledger,
      rows,
      records,
      mayBeBehind: () => database.isShared && database.trouble !== null,
      are: () => (areHere ? "here" : awaiting.isOverdue ? "overdue" : "awaited"),
      opened: areHere ? Promise.resolve(true) : taken,
      portFreeWithinMs: place.ahead === null ? null : place.ahead.delayMs + PORT_WITHIN_MS,
      watch: (onRecords) => database.watch(records.version, onRecords),
      markDraining: (draining) => {
        // Who waits and ends has no use for the books any more, and somebody else may.
        void awaiting.end();
        line.markDraining(draining, onTrouble);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Keepers {
  readonly store: Store;
  readonly ledger: Ledger<Write>;
  readonly rows: RowKeeper;
  readonly sweeper: Sweeper;
  readonly spools: LeftSpools;
}

function keepersOf(database: Database, { path, line, place, node }: DataDirectory, { onTrouble }: BooksSettings): Keepers {
  const { isShared } = database;
  const ledger = new Ledger(database, { node: isShared ? node : EMBEDDED, leaseMs: isShared ? LEASE_MS : LEASE_FOREVER_MS, onTrouble });
  const store = storeOver(database, ledger);
  const rows = new RowKeeper({ store, ledger, spool: new Spool(spoolOf(path, place.number)), onTrouble });
  const sweeper = new Sweeper({ store, ledger, deadAfterMs: isShared ? LEASE_MS : null, onTrouble });
  return { store, ledger, rows, sweeper, spools: new LeftSpools({ path, line, rows, onTrouble }) };
}

function portsOf(store: Store): Pick<Books, "access" | "files" | "prices" | "givenTo"> {
  return {
    access: accessStore(store),
    files: { requestFile: (id, accountId) => store.query("request", { id, accountId }) },
    prices: { keepPrice: async (id, version) => (await store.write([{ kind: "price", id, version, at: Date.now() }])) === null },
    givenTo: (accountId) => store.query("given", { accountId }),
  };
}

/** A server takes several relays at a time. A file has one writer, and who stands in line reads it until it is free. */
async function openOrAwait(
  directory: DataDirectory,
  settings: BooksSettings,
): Promise<{ database: Database; takeOver: () => Promise<void> }> {
  const { database, onTrouble } = settings;
  if (directory.place.number === 0 || database.kind !== "sqlite")
    return { database: await openDatabase(directory, settings), takeOver: () => Promise.resolve() };
  const standby = new StandbyDatabase(database.path, onTrouble);
  return { database: standby, takeOver: () => standby.takeOver(() => openDatabase(directory, settings)) };
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
