/** Where the relay of a trial keeps its books, and how the trial reads them without the relay. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PostgresLedger } from "../packages/relay/src/store/postgres/ledger.ts";
import { SqliteLedger } from "../packages/relay/src/store/sqlite/ledger.ts";
import type { Breach } from "../packages/relay/src/store/ledger/audit.ts";
import { queryPostgres, startPostgres } from "../packages/relay/test/support/postgres.ts";
import type { TestPostgres } from "../packages/relay/test/support/postgres.ts";
import type { Query } from "./books.ts";
import { openSlowLine } from "./slow-line.ts";

export type StoreName = "sqlite" | "postgres";

export interface Place {
  readonly store: StoreName;
  /** The relay's data directory. */
  readonly dataDir: string;
  /** What the configuration says of the database. */
  readonly config: { readonly database?: string };
  /** The server, where there is one to kill. */
  readonly server: TestPostgres | null;
  /**
   * Makes the database slow for the relay, where the place was opened for that: each step takes so long, or none comes to an
   * end where null is given, until what it returns is called.
   */
  slow(delayMs: number | null): () => void;
  query: Query;
  audit(): Promise<readonly Breach[]>;
  /** Ends the server and removes the directory. */
  close(): Promise<void>;
}

const LOCK_WITHIN_MS = 1_000;

function newDataDir(): string {
  return mkdtempSync(join(tmpdir(), "millrace-chaos-"));
}

/** @param settings `isSlow`: PostgreSQL is reached by a line that can be made slow. SQLite always can. */
export async function openPlace(store: StoreName, { isSlow }: { readonly isSlow: boolean }): Promise<Place> {
  return store === "sqlite" ? sqlitePlace(newDataDir()) : await postgresPlace(isSlow);
}

/** Books in a file, which the relay makes. */
export function sqlitePlace(dataDir: string): Place {
  const open = <T>(read: (database: DatabaseSync) => T): T => {
    const database = new DatabaseSync(join(dataDir, "millrace.db"), { readOnly: true });
    try {
      return read(database);
    } finally {
      database.close();
    }
  };
  return {
    store: "sqlite",
    dataDir,
    config: {},
    server: null,
    slow: () => lockOf(join(dataDir, "millrace.db")),
    query: async (sql) =>
      open((database) => {
        const statement = database.prepare(sql);
        statement.setReadBigInts(true);
        return statement.all();
      }),
    audit: async () => open((database) => new SqliteLedger(database).audit()),
    close: async () => rmSync(dataDir, { recursive: true, force: true }),
  };
}

/** Another program that holds the write lock: no other writer can write meanwhile. */
function lockOf(path: string): () => void {
  const database = new DatabaseSync(path, { timeout: LOCK_WITHIN_MS });
  database.exec("BEGIN IMMEDIATE");
  return () => database.close();
}

async function postgresPlace(isSlow: boolean): Promise<Place> {
  const server = await startPostgres({ isDurable: true });
  const dataDir = newDataDir();
  const { host, port, user, database } = server.connection;
  const line = isSlow ? await openSlowLine(Number(port)) : null;
  return {
    store: "postgres",
    dataDir,
    config: { database: `postgres://${user}@${host}:${line?.port ?? port}/${database}` },
    server,
    slow: (delayMs) => {
      if (line === null) throw new Error("the place was not opened for a slow database");
      return delayMs === null ? line.stall() : line.delay(delayMs);
    },
    query: async (sql) => await queryPostgres(server.connection, sql),
    audit: async () => {
      const ledger = new PostgresLedger({ connection: server.connection });
      try {
        return await ledger.audit();
      } finally {
        await ledger.close();
      }
    },
    close: async () => {
      rmSync(dataDir, { recursive: true, force: true });
      await line?.close();
      await server.stop();
    },
  };
}
