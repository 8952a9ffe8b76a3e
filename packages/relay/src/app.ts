/** Wires the parts by hand. What `main.ts` starts, and what tests start. */
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AccountRegistry } from "./admission/accounts.ts";
import type { Account, AccountStore } from "./admission/accounts.ts";
import { KeyRing } from "./admission/keys.ts";
import type { KeyRecord, KeyStore } from "./admission/keys.ts";
import { Limiter } from "./admission/limits.ts";
import type { ChatParts } from "./chat/answer.ts";
import { DrainBudget } from "./chat/drain-budget.ts";
import { errorStack } from "./basics/error-text.ts";
import { Runs } from "./chat/runs.ts";
import { refusedRow } from "./chat/record.ts";
import { snapshotOf } from "./chat/snapshot.ts";
import { STREAM_TIMES } from "./chat/client-delivery.ts";
import type { StreamTimes } from "./chat/client-delivery.ts";
import { Ticker } from "./chat/ticker.ts";
import type { Config } from "./config/config.ts";
import type { ControlParts } from "./control/http/api.ts";
import type { ControlLedger, ControlStore } from "./control/ports.ts";
import type { TierView } from "./control/resources/tiers.ts";
import { BodyBudget } from "./edge/body.ts";
import { handle } from "./edge/handler.ts";
import type { EdgeParts, Refusal } from "./edge/handler.ts";
import { clientAddress } from "./edge/client-address.ts";
import { createListener } from "./edge/server.ts";
import type { Log } from "./insight/log.ts";
import { watchLoop } from "./insight/loop-lag.ts";
import { Metrics } from "./insight/metrics.ts";
import type { RequestFiles } from "./insight/request-file.ts";
import type { RowStore } from "./insight/row.ts";
import { PinnedPrices } from "./prices/pinned.ts";
import type { PriceStore } from "./prices/pinned.ts";
import { providerOf } from "./provider/registry.ts";
import { undiciDialer } from "./upstream/undici-dialer.ts";
import { Health } from "./upstream/health.ts";

/** Upstream calls that may run on without a client, all together. */
const DRAINS_MAX = 100;
/** Request bodies in memory, all together. */
const BODIES_BYTES_MAX = 512 * 1024 * 1024;
const BODY_GRACE_MS = 30_000;
const DONE_CHECK_MS = 10;
/** After an answer was told to stop, its last words and its row get this long. */
const STOP_GRACE_MS = 3_000;

export interface AppParts {
  readonly config: Config;
  readonly rows: RowStore;
  readonly files: RequestFiles;
  readonly prices: PriceStore;
  /** Nano-USD left of the credit that an account was given and did not pay for. */
  readonly givenTo: (accountId: string) => Promise<bigint>;
  readonly keyStore: KeyStore;
  readonly accountStore: AccountStore;
  /** AccountRegistry and keys as they are stored. */
  readonly records: AccessRecords;
  /** True while other relays may have changed them unheard. */
  readonly mayBeBehind: () => boolean;
  readonly ledger: ControlLedger;
  /** What the control plane stores and reads. */
  readonly control: ControlStore;
  readonly log: Log;
  readonly streamTimes?: StreamTimes;
  readonly bodyGraceMs?: number;
}

/** What admission knows. */
interface AccessRecords {
  readonly accounts: readonly Account[];
  readonly keys: readonly KeyRecord[];
}

export interface App {
  readonly accounts: AccountRegistry;
  readonly keys: KeyRing;
  readonly metrics: Metrics;
  /** Binds and serves. @returns the port. Rejects when the address cannot be bound. */
  listen(): Promise<number>;
  /** Readiness off, then, after the balancer's delay, no new connections; answers may end until `drainMs`, then are stopped. */
  stop(settings?: { delayMs: number; drainMs: number }): Promise<void>;
  /** Ends the drain now. */
  hurry(): void;
  /** Takes over accounts and keys that another relay changed. */
  learn(records: AccessRecords): void;
}

/** Builds a relay that is not listening yet. */
export function buildApp(parts: AppParts): App {
  const { config, log } = parts;
  const health = new Health(config.upstreams, performance.now());
  const limiter = new Limiter(config.limits ?? null, () => performance.now());
  const dialer = undiciDialer();
  const metrics = new Metrics({
    streamsActive: () => runs.size,
    rowsWaiting: () => parts.rows.waiting,
    upstreams: () => health.report(performance.now()),
    limits: () => limiter.report(),
  });
  const pins = new PinnedPrices(parts.prices);
  const snapshot = snapshotOf(config, 0);
  const chat: ChatParts = {
    providerOf,
    health,
    dialer,
    ticker: new Ticker(),
    rows: parts.rows,
    billing: {
      pin: (version) => pins.pin(version),
      ask: (operation) => parts.ledger.ask(operation),
    },
    metrics,
    drains: new DrainBudget(DRAINS_MAX),
    streamTimes: parts.streamTimes ?? STREAM_TIMES,
    onRow: (row) => log.request(row),
    onTrouble: (message) => log.trouble(message),
    onBug: (requestId, error) => log.trouble(bugText(requestId, error)),
  };
  const runs = new Runs(chat);
  const accounts = new AccountRegistry(parts.accountStore, parts.records.accounts);
  const keys = new KeyRing(parts.keyStore, parts.records.keys);
  keys.onChange = (key) => {
    if (key.revokedAt !== null) runs.revokeKey(key.id);
  };
  let isStopping = false;
  const edge: EdgeParts = {
    snapshot: () => snapshot,
    keys,
    mayLackKeys: parts.mayBeBehind,
    accounts,
    limits: {
      limiter,
      tierOf: (accountId) => accounts.get(accountId)?.tier ?? null,
      keyLimitsOf: (key) => key.limits ?? undefined,
    },
    chat,
    files: parts.files,
    givenTo: parts.givenTo,
    bodyLimits: { bytesMax: config.sizes.requestBytesMax, graceMs: parts.bodyGraceMs ?? BODY_GRACE_MS },
    bodyBudget: new BodyBudget(BODIES_BYTES_MAX),
    notReady: () => (isStopping ? "stopping" : parts.rows.hasRoom ? null : "store_unavailable"),
    metrics: () => metrics.render(),
    admin: lazyControl({
      ledger: parts.ledger,
      accounts,
      keys,
      store: parts.control,
      tiers: tiersOf(config),
      pricing: { book: config.prices, models: [...config.models.values()] },
      adminToken: config.adminToken,
      isLoopback: isLoopbackHost(config.listen.host),
      addressOf: (request) => clientAddress(request, snapshot.isTrustedProxy) ?? "",
      onTrouble: (message) => log.trouble(message),
    }),
    runs,
    onRefusal: (refusal) => noteRefusal(refusal, chat, log),
  };
  const open = new Set<ServerResponse>();
  const server = createListener({
    open,
    handle: (request, response, requestId) => handle(request, response, requestId, edge),
    onBug: (requestId, error) => log.trouble(bugText(requestId, error)),
  });
  const lag = watchLoop((seconds) => metrics.loopLag.observe({}, seconds));
  let hurry: () => void = () => undefined;
  const hurried = new Promise<void>((resolve) => (hurry = resolve));

  async function stop(settings = config.shutdown): Promise<void> {
    isStopping = true;
    const wait = (ms: number): Promise<unknown> => Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), hurried]);
    if (settings.delayMs > 0) await wait(settings.delayMs);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    await Promise.race([wait(settings.drainMs), allDone(runs, open)]);
    await Promise.race([runs.stopAll(), new Promise((resolve) => setTimeout(resolve, STOP_GRACE_MS))]);
    server.closeIdleConnections();
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 250))]);
    server.closeAllConnections();
    lag.stop();
    await dialer.close();
  }

  function learn(records: AccessRecords): void {
    accounts.learn(records.accounts);
    keys.learn(records.keys);
  }

  return { accounts, keys, metrics, listen: () => listen(server, config.listen), stop, hurry, learn };
}

/** What the log says of a mistake of the relay's own. */
function bugText(requestId: string, error: unknown): string {
  return `bug in ${requestId}: ${errorStack(error)}`;
}

function tiersOf({ limits }: Config): TierView[] {
  const tiers = [...(limits?.tiers ?? [])];
  return tiers.map(([name, tier]) => ({ name, isDefault: name === limits?.defaultTier, ...tier }));
}

/** The control plane is loaded when it is first asked for: many relays never are. */
function lazyControl(parts: ControlParts): EdgeParts["admin"] {
  let loading: Promise<EdgeParts["admin"]> | null = null;
  return async (request, response, requestId) => {
    loading ??= import("./control/http/api.ts").then(({ controlApi }) => controlApi(parts));
    return (await loading)(request, response, requestId);
  };
}

/**
 * Counts a refusal; where the key was good and there is room it also gets a row. Others could fill the disk or the memory at will,
 * so they get a log line alone.
 */
function noteRefusal(refusal: Refusal, chat: ChatParts, log: Log): void {
  const { requestId, status, code, key, endpoint, model, durationMs } = refusal;
  chat.metrics.refusals.add({ code });
  if (key === null || endpoint === null || !chat.rows.hasRoom) return log.refusal(requestId, status, code);
  const row = refusedRow(
    { id: requestId, at: Date.now(), accountId: key.accountId, keyId: key.id, endpoint, model },
    status,
    code,
    durationMs,
  );
  log.request(row);
  chat.rows
    .record(row)
    .catch((error: unknown) => log.trouble(`row ${row.id} could not be kept: ${error instanceof Error ? error.message : String(error)}`));
}

/** Until no answer is under way, none waits for a slow reader, and no request is still being sent to us. */
async function allDone(runs: Runs, open: ReadonlySet<ServerResponse>): Promise<void> {
  while (runs.size > 0 || open.size > 0) await new Promise((resolve) => setTimeout(resolve, DONE_CHECK_MS));
}

function listen(server: Server, address: Config["listen"]): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address.port, address.host, () => {
      server.removeListener("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
