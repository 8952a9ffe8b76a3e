/** Everything but upstreams and models, in layers: flags over environment over file over defaults. */
import { join } from "node:path";
import { buildPriceBook } from "../prices/book.ts";
import { isLoopback } from "./base-url.ts";
import type { Config, DatabaseConfig, LimitsConfig } from "./config.ts";
import type { Routing } from "./model-table.ts";
import { type Pricing, pricingWarnings, SHIPPED_PRICING } from "./pricing.ts";

export type LogLevel = Config["log"]["level"];
export type LogFormat = Config["log"]["format"];

export const LOG_LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error", "silent"];
export const LOG_FORMATS: readonly LogFormat[] = ["json", "text"];

/** One layer; what it does not say is left to the next. */
export interface Settings {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly dataDir?: string | undefined;
  readonly database?: DatabaseConfig | undefined;
  readonly durability?: "process" | "power" | undefined;
  readonly logLevel?: LogLevel | undefined;
  readonly logFormat?: LogFormat | undefined;
  readonly requestBytesMax?: number | undefined;
  readonly answerBytesMax?: number | undefined;
  readonly delayMs?: number | undefined;
  readonly drainMs?: number | undefined;
  readonly firstKey?: string | undefined;
  readonly adminToken?: string | undefined;
  readonly limits?: LimitsConfig | undefined;
  readonly trustedProxies?: readonly string[] | undefined;
}

const DEFAULTS = {
  host: "127.0.0.1",
  port: 8787,
  dataDir: "./data",
  logLevel: "info",
  logFormat: "json",
  requestBytesMax: 16 * 1024 ** 2,
  answerBytesMax: 64 * 1024 ** 2,
  drainMs: 600_000,
} as const satisfies Settings;

/** A load balancer needs this long to stop sending requests. A loopback address has no load balancer, so there it is 0. */
const PUBLIC_DELAY_MS = 5000;

/** Builds the frozen configuration; earlier layers win. */
export function assembleConfig(
  layers: readonly Settings[],
  routing: Routing,
  warnings: readonly string[],
  pricing: Pricing = SHIPPED_PRICING,
): Config {
  const said = mergeLayers(layers);
  const all = { ...DEFAULTS, ...said };
  const database: DatabaseConfig = said.database ?? { kind: "sqlite", path: join(all.dataDir, "millrace.db") };
  const prices = buildPriceBook(routing.upstreams.values(), pricing);
  return deepFreeze({
    listen: { host: all.host, port: all.port },
    dataDir: all.dataDir,
    database,
    durability: said.durability ?? (database.kind === "sqlite" ? "process" : "power"),
    ...routing,
    prices,
    ...(said.limits === undefined ? {} : { limits: said.limits }),
    ...(said.trustedProxies === undefined ? {} : { trustedProxies: said.trustedProxies }),
    firstKey: said.firstKey ?? null,
    adminToken: said.adminToken ?? null,
    log: { level: all.logLevel, format: all.logFormat },
    sizes: { requestBytesMax: all.requestBytesMax, answerBytesMax: all.answerBytesMax },
    shutdown: {
      delayMs: said.delayMs ?? (isLoopback(all.host) ? 0 : PUBLIC_DELAY_MS),
      drainMs: all.drainMs,
    },
    isDemo: routing.upstreams.size === 0,
    warnings: [...new Set([...warnings, ...pricingWarnings(pricing, routing, prices)])],
  });
}

type Said = { readonly [Key in keyof Settings]?: Exclude<Settings[Key], undefined> };

function mergeLayers(layers: readonly Settings[]): Said {
  const pairs = layers.toReversed().flatMap((layer) => Object.entries(layer));
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  const children: Iterable<unknown> = value instanceof Map ? value.values() : Object.values(value);
  for (const child of children) deepFreeze(child);
  return Object.freeze(value);
}
