/** Where the relay of a trial keeps its books, and how to read them behind its back. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PostgresLedger } from "../packages/relay/src/store/ledger-postgres.ts";
import { SqliteLedger } from "../packages/relay/src/store/ledger-sqlite.ts";
import type { Breach } from "../packages/relay/src/store/ledger-audit.ts";
import { queryPostgres, startPostgres } from "../packages/relay/test/support/postgres.ts";
import type { TestPostgres } from "../packages/relay/test/support/postgres.ts";
import type { Query } from "./books.ts";

export type StoreName = "sqlite" | "postgres";

export interface Place {
  readonly store: StoreName;
  /** The relay's data directory. */
  readonly dataDir: string;
  /** What the configuration says of the database. */
  readonly config: { readonly database?: string };
  /** The server, where there is one to kill. */
  readonly server: TestPostgres | null;
  query: Query;
  audit(): Promise<readonly Breach[]>;
  /** Leaves neither a server nor a directory. */
  close(): Promise<void>;
}

function newDataDir(): string {
  return mkdtempSync(join(tmpdir(), "millrace-chaos-"));
}

export async function openPlace(store: StoreName): Promise<Place> {
  return store === "sqlite" ? sqlitePlace(newDataDir()) : await postgresPlace();
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

async function postgresPlace(): Promise<Place> {
  const server = await startPostgres({ isDurable: true });
  const dataDir = newDataDir();
  const { host, port, user, database } = server.connection;
  return {
    store: "postgres",
    dataDir,
    config: { database: `postgres://${user}@${host}:${port}/${database}` },
    server,
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
      await server.stop();
    },
  };
}
