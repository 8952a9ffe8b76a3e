/** Wires the parts by hand. What `main.ts` starts, and what tests start. */
import type { ServerResponse } from "node:http";
import { AccountRegistry } from "./admission/accounts.ts";
import type { Account, AccountStore } from "./admission/accounts.ts";
import { KeyRing } from "./admission/keys.ts";
import type { KeyRecord, KeyStore } from "./admission/keys.ts";
import { LiveKeys } from "./admission/live-keys.ts";
import { Limiter } from "./admission/limits.ts";
import { errorStack } from "./basics/error-text.ts";
import type { ChatParts } from "./chat/answer.ts";
import { STREAM_TIMES } from "./chat/client-delivery.ts";
import type { StreamTimes } from "./chat/client-delivery.ts";
import { CurrentSnapshot } from "./chat/current-snapshot.ts";
import { DrainBudget } from "./chat/drain-budget.ts";
import { noteRefusal } from "./chat/recorder.ts";
import { Runs } from "./chat/runs.ts";
import type { Snapshot } from "./chat/snapshot.ts";
import { Ticker } from "./chat/ticker.ts";
import type { Config } from "./config/config.ts";
import type { ControlParts } from "./control/http/api.ts";
import type { ControlLedger, ControlStore } from "./control/ports.ts";
import type { ControlSettings } from "./control/settings.ts";
import { BodyBudget } from "./edge/body.ts";
import { clientAddress } from "./edge/client-address.ts";
import { handle } from "./edge/handler.ts";
import type { EdgeParts } from "./edge/handler.ts";
import { createListener } from "./edge/server.ts";
import type { Log } from "./insight/log.ts";
import { watchLoop } from "./insight/loop-lag.ts";
import { Metrics } from "./insight/metrics.ts";
import type { RequestFiles } from "./insight/request-file.ts";
import type { RowStore } from "./insight/row.ts";
import { PinnedPrices } from "./prices/pinned.ts";
import type { PriceStore } from "./prices/pinned.ts";
import { providerOf } from "./provider/registry.ts";
import { Reloader } from "./reloader.ts";
import type { ConfigSource } from "./reloader.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { ShutdownSettings } from "./lifecycle.ts";
import type { Dialer } from "./upstream/dialer.ts";
import { Health } from "./upstream/health.ts";
import { undiciDialer } from "./upstream/undici-dialer.ts";

/** Upstream calls that may run on without a client, all together. */
const DRAINS_MAX = 100;
/** Request bodies in memory, all together. */
const BODIES_BYTES_MAX = 512 * 1024 * 1024;
const BODY_GRACE_MS = 30_000;

export interface AppParts {
  /** The configuration that holds at first. */
  readonly snapshot: Snapshot;
  /** Where others come from while the relay runs. */
  readonly configuration: ConfigSource;
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
  /** Another relay that ends still has the books; `overdue`: longer than it said. */
  readonly booksAre: () => "here" | "awaited" | "overdue";
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
  /** The configuration that holds now, and where another one is swapped in. */
  readonly current: CurrentSnapshot;
  readonly reloader: Reloader;
  /** Binds and serves. @returns the port. Rejects when the address cannot be bound. */
  listen(): Promise<number>;
  /** Readiness off, then, after the balancer's delay, no new connections; answers may end until `drainMs`, then are stopped. */
  stop(settings?: ShutdownSettings): Promise<void>;
  /** Ends the drain now. */
  hurry(): void;
  /** Takes over accounts and keys that another relay changed. */
  learn(records: AccessRecords): void;
}

/** Builds a relay that is not listening yet. */
export function buildApp(parts: AppParts): App {
  const current = new CurrentSnapshot(parts.snapshot);
  const live = new LiveKeys();
  const hot = buildChat(parts, current, live);
  const access = buildAccess(parts, hot.runs, live);
  const open = new Set<ServerResponse>();
  const { reloader } = hot;
  const control = lazyControl(controlParts(parts, current, access, reloader));
  const edge: EdgeParts = { ...buildEdge(parts, current, hot, access, control), notReady: () => lifecycle.notReady() };
  const server = createListener({
    open,
    handle: (request, response, requestId) => handle(request, response, requestId, edge),
    onBug: hot.chat.onBug,
    onTrouble: hot.chat.onTrouble,
  });
  const lag = watchLoop((seconds) => hot.chat.metrics.loopLag.observe({}, seconds));
  const lifecycle = new Lifecycle({
    server,
    open,
    runs: hot.runs,
    listen: parts.snapshot.config.listen,
    shutdown: () => current.now.config.shutdown,
    trouble: () => (parts.rows.hasRoom && parts.booksAre() !== "overdue" ? null : "store_unavailable"),
    close: async () => {
      lag.stop();
      await hot.dialer.close();
    },
  });
  return {
    ...access,
    metrics: hot.chat.metrics,
    current,
    reloader,
    listen: () => lifecycle.listen(),
    stop: (settings) => lifecycle.stop(settings),
    hurry: () => lifecycle.hurry(),
    learn: (records) => {
      access.accounts.learn(records.accounts);
      access.keys.learn(records.keys);
    },
  };
}

/** What answers requests. */
interface HotPath {
  readonly chat: ChatParts;
  readonly runs: Runs;
  readonly limiter: Limiter;
  readonly dialer: Dialer;
  readonly reloader: Reloader;
}

function buildChat(parts: AppParts, current: CurrentSnapshot, live: LiveKeys): HotPath {
  const { log, rows } = parts;
  const health = new Health(current.now.config.upstreams, performance.now(), live);
  current.follow(({ config }) => health.reconcile(config.upstreams, performance.now()));
  const limiter = new Limiter(() => performance.now());
  const dialer = undiciDialer();
  const metrics = new Metrics({
    streamsActive: () => runs.size,
    rowsWaiting: () => rows.waiting,
    upstreams: () => health.report(performance.now()),
    limits: () => limiter.report(),
    configuration: () => reloader,
  });
  const reloader = new Reloader({ ...parts.configuration, current, metrics, log });
  const pins = new PinnedPrices(parts.prices);
  const chat: ChatParts = {
    providerOf,
    health,
    dialer,
    ticker: new Ticker(),
    rows,
    billing: { pin: (version) => pins.pin(version), ask: (operation) => parts.ledger.ask(operation) },
    metrics,
    drains: new DrainBudget(DRAINS_MAX),
    streamTimes: parts.streamTimes ?? STREAM_TIMES,
    onRow: (row) => log.request(row),
    onTrouble: (message) => log.trouble(message),
    onBug: (requestId, error) => log.trouble(`bug in ${requestId}: ${errorStack(error)}`),
  };
  const runs = new Runs(chat);
  return { chat, runs, limiter, dialer, reloader };
}

function buildAccess(parts: AppParts, runs: Runs, live: LiveKeys): Pick<App, "accounts" | "keys"> {
  const onChange = (key: KeyRecord): void => {
    live.note(key);
    if (key.revokedAt !== null) runs.revokeKey(key.id);
  };
  return {
    accounts: new AccountRegistry(parts.accountStore, parts.records.accounts),
    keys: new KeyRing(parts.keyStore, parts.records.keys, onChange),
  };
}

function buildEdge(
  parts: AppParts,
  current: CurrentSnapshot,
  { chat, runs, limiter }: HotPath,
  access: Pick<App, "accounts" | "keys">,
  admin: EdgeParts["admin"],
): Omit<EdgeParts, "notReady"> {
  return {
    snapshot: () => current.now,
    keys: access.keys,
    known: access,
    mayLackKeys: parts.mayBeBehind,
    limiter,
    runs,
    files: parts.files,
    credit: { ledger: parts.ledger, givenTo: parts.givenTo },
    bodyGraceMs: parts.bodyGraceMs ?? BODY_GRACE_MS,
    bodyBudget: new BodyBudget(BODIES_BYTES_MAX),
    hasRoom: () => parts.rows.hasRoom,
    awaitsBooks: () => parts.booksAre() !== "here",
    metrics: () => chat.metrics.render(),
    admin,
    onRefusal: (refusal) => noteRefusal({ ...chat, onUnnamed: parts.log.refusal }, refusal),
  };
}

function controlParts(parts: AppParts, current: CurrentSnapshot, access: Pick<App, "accounts" | "keys">, reloader: Reloader): ControlParts {
  return {
    reloader,
    ...access,
    ledger: parts.ledger,
    store: parts.control,
    settings: () => controlSettings(current.now.config),
    isLoopback: isLoopbackHost(current.now.config.listen.host),
    addressOf: (request) => clientAddress(request, current.now.isTrustedProxy) ?? "",
    onTrouble: (message) => parts.log.trouble(message),
  };
}

function controlSettings({ adminToken, limits, prices, models }: Config): ControlSettings {
  const tiers = [...(limits?.tiers ?? [])].map(([name, tier]) => ({ name, isDefault: name === limits?.defaultTier, ...tier }));
  return { adminToken, tiers, pricing: { book: prices, models: [...models.values()] } };
}

/** The control plane is loaded when it is first asked for: many relays never are. */
function lazyControl(parts: ControlParts): EdgeParts["admin"] {
  let loading: Promise<EdgeParts["admin"]> | null = null;
  return async (request, response, requestId) => {
    loading ??= import("./control/http/api.ts").then(({ controlApi }) => controlApi(parts));
    return (await loading)(request, response, requestId);
  };
}

function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
