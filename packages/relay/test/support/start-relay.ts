/** A relay in this process, with a real store in a directory of its own and any number of simulators behind it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { onTestFinished } from "vitest";
import { DEFAULT_ACCOUNT } from "../../src/admission/accounts.ts";
import { newKeyRecord } from "../../src/admission/keys.ts";
import { ensureDefaultAccount } from "../../src/admission/default-account.ts";
import { buildApp } from "../../src/app.ts";
import type { App } from "../../src/app.ts";
import type { StreamTimes } from "../../src/chat/client-delivery.ts";
import { snapshotOf } from "../../src/chat/snapshot.ts";
import type { Config, ConfigResult, Upstream } from "../../src/config/config.ts";
import { openLog } from "../../src/insight/log.ts";
import type { SimulatorOptions, Simulator } from "../../src/simulator/simulator.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { newRevision } from "../../src/config/revision.ts";
import { controlStore } from "../../src/store/control-store.ts";
import { revisionStore } from "../../src/store/revision-store.ts";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { SQLITE } from "./databases.ts";
import type { TestDatabase } from "./databases.ts";
import { ADMIN_TOKEN } from "./admin-token.ts";
import { freePort } from "./free-port.ts";

export { ADMIN_TOKEN };

interface UpstreamSetup extends Partial<Omit<Upstream, "timeouts">> {
  readonly simulator?: SimulatorOptions;
  readonly timeouts?: Partial<Upstream["timeouts"]>;
  /** The name this upstream knows model `m` by. */
  readonly model?: string;
}

const NO_PRICES: Config["prices"] = { prices: new Map(), costs: new Map(), derived: new Map() };

export interface RelaySetup {
  /** In fallback order; model `m` is served by all of them. */
  readonly upstreams: Readonly<Record<string, UpstreamSetup>>;
  readonly streamTimes?: StreamTimes;
  readonly sizes?: Partial<Config["sizes"]>;
  readonly limits?: Config["limits"];
  /** SQLite in the data directory when absent. */
  readonly database?: TestDatabase;
  /** No price at all when absent. */
  readonly prices?: Config["prices"];
  readonly bodyGraceMs?: number;
  readonly logLevel?: Config["log"]["level"];
  /** How money is set aside for model `m`. */
  readonly hold?: "full" | "sliding";
  /** The most tokens an answer of model `m` has. */
  readonly outputTokensMax?: number;
  readonly trustedProxies?: readonly string[];
  /** What a reload finds in place of the configuration that the relay was started with. */
  readonly reload?: (started: Config) => ConfigResult | Promise<ConfigResult>;
  /** Of an earlier relay, to start over on its data; it is then not removed. */
  readonly dataDir?: string;
}

export interface TestRelay {
  readonly url: string;
  readonly port: number;
  readonly key: string;
  readonly app: App;
  readonly config: Config;
  readonly books: Books;
  readonly dataDir: string;
  readonly simulators: Readonly<Record<string, Simulator>>;
  readonly logLines: string[];
  /** Rows of a table, as the database has them now; of SQLite alone. */
  rows(table: "requests" | "attempts"): Record<string, string | number | null>[];
  /** Runs a query on what is committed; integers are bigint. */
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** Waits for the row number `count` of requests (1 = the first). */
  row(count?: number): Promise<Record<string, string | number | null>>;
  /** Stops it and removes its directory; a second call waits for the first. */
  close(): Promise<void>;
}

const TIMEOUTS: Upstream["timeouts"] = {
  connectMs: 2_000,
  firstEventMs: 10_000,
  payloadIdleMs: 5_000,
  transportIdleMs: 5_000,
  totalMs: 60_000,
};

/** Starts a relay that is closed when the running test is over, however it ends. */
export async function relayForTest(setup: RelaySetup): Promise<TestRelay> {
  const relay = await startRelay(setup);
  onTestFinished(() => relay.close());
  return relay;
}

/** Starts a relay that the caller closes: for all the tests of a file, say. */
export async function startRelay(setup: RelaySetup): Promise<TestRelay> {
  const dataDir = setup.dataDir ?? mkdtempSync(join(tmpdir(), "millrace-test-"));
  const database = setup.database ?? SQLITE;
  const simulators: Record<string, Simulator> = {};
  const upstreams = new Map<string, Upstream>();
  for (const [name, { simulator, timeouts, model: _model, ...rest }] of Object.entries(setup.upstreams)) {
    if (simulator !== undefined || rest.baseUrl === undefined) simulators[name] = await startSimulator(simulator ?? {});
    upstreams.set(name, {
      name,
      provider: "openai-compatible",
      baseUrl: simulators[name]?.url ?? "",
      apiKey: `sk-upstream-secret-of-${name}`,
      inFlightMax: 500,
      reservedShare: 0.25,
      onDisconnect: { mode: "abort" },
      malformed: "fail",
      usageInStream: true,
      finish: "optional",
      eventBytesMax: 1024 * 1024,
      ...rest,
      timeouts: { ...TIMEOUTS, ...timeouts },
    });
  }
  const routes = Object.entries(setup.upstreams).map(([upstream, { model }]) => ({ upstream, model: model ?? "m" }));
  const address = { host: "127.0.0.1", port: await freePort() };
  const maximum = setup.outputTokensMax === undefined ? {} : { outputTokensMax: setup.outputTokensMax };
  const config: Config = {
    listen: address,
    dataDir,
    database: database.configIn(dataDir),
    durability: "process",
    upstreams,
    models: new Map([["m", { name: "m", routes, isListed: true, hold: setup.hold ?? "full", ...maximum }]]),
    takesAnyModel: [],
    prices: setup.prices ?? NO_PRICES,
    ...(setup.limits === undefined ? {} : { limits: setup.limits }),
    ...(setup.trustedProxies === undefined ? {} : { trustedProxies: setup.trustedProxies }),
    firstKey: null,
    adminToken: ADMIN_TOKEN,
    log: { level: "info", format: "json" },
    sizes: { requestBytesMax: 16 * 1024 * 1024, answerBytesMax: 64 * 1024 * 1024, ...setup.sizes },
    shutdown: { delayMs: 0, drainMs: 5_000 },
    isDemo: false,
    warnings: [],
  };
  const logLines: string[] = [];
  const log = openLog({ level: setup.logLevel ?? "info", format: "json", destination: { write: (line) => void logLines.push(line) } });
  const books = await openBooks({ ...config, onTrouble: (message) => log.trouble(message) });
  const { store, ledger } = books;
  const revisions = revisionStore(store);
  const revision = await revisions.numberOf(newRevision(config, "environment", { author: "relay", reason: "start" }));
  const load = async (): Promise<ConfigResult> => (await setup.reload?.(config)) ?? { ok: true, config };
  const app = buildApp({
    snapshot: snapshotOf(config, revision),
    configuration: { source: "environment", load, complete: (loaded) => loaded, warningsOf: () => [], revisions },
    rows: books.rows,
    files: books.files,
    prices: books.prices,
    givenTo: books.givenTo,
    keyStore: books.access,
    accountStore: books.access,
    records: books.records,
    mayBeBehind: books.mayBeBehind,
    booksAre: books.are,
    ledger,
    control: controlStore(store),
    log,
    ...(setup.streamTimes === undefined ? {} : { streamTimes: setup.streamTimes }),
    ...(setup.bodyGraceMs === undefined ? {} : { bodyGraceMs: setup.bodyGraceMs }),
  });
  await ensureDefaultAccount(app.accounts);
  books.watch((changed) => app.learn(changed));
  const made = newKeyRecord(DEFAULT_ACCOUNT, "test", Date.now());
  await app.keys.insert(made.record);
  const port = await listenSomewhere(app, address);

  const rows: TestRelay["rows"] = (table) => {
    const file = new DatabaseSync(join(dataDir, "millrace.db"), { readOnly: true });
    try {
      return file.prepare(`SELECT * FROM ${table} ORDER BY ${table === "requests" ? "at, id" : "request_id, n"}`).all() as Record<
        string,
        string | number | null
      >[];
    } finally {
      file.close();
    }
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    key: made.text,
    app,
    config,
    books,
    dataDir,
    simulators,
    logLines,
    rows,
    query: (sql) => database.query(dataDir, sql),
    row: async (count = 1) => {
      const deadline = performance.now() + 5_000;
      for (;;) {
        const found = (await database.query(dataDir, "SELECT * FROM requests ORDER BY at, id"))[count - 1];
        if (found !== undefined) return plain(found);
        if (performance.now() > deadline) throw new Error(`no row number ${count} within 5 s`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    close: once(async () => {
      await app.stop({ delayMs: 0, drainMs: 0 });
      await Promise.all(Object.values(simulators).map((simulator) => simulator.close()));
      await books.close();
      if (setup.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    }),
  };
}

function once(act: () => Promise<void>): () => Promise<void> {
  let acting: Promise<void> | null = null;
  return () => (acting ??= act());
}

/** Integers that fit as numbers, as most tests write them. */
function plain(row: Record<string, unknown>): Record<string, string | number | null> {
  const entries = Object.entries(row).map(([name, value]) => [name, typeof value === "bigint" ? Number(value) : value]);
  return Object.fromEntries(entries) as Record<string, string | number | null>;
}

/** A port that was free a moment ago may be taken by another test by now. */
async function listenSomewhere(app: App, address: { port: number }): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      return await app.listen();
    } catch (error) {
      if (tries === 5 || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      address.port = await freePort();
    }
  }
}
