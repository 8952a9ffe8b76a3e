/** The frozen configuration that the relay is built from. `load.ts` makes it; nothing else reads the environment. */
import type { PriceBook } from "../prices/book.ts";
import type { LimitSet } from "@millrace/policy/limit";

export interface Timeouts {
  /** TCP and TLS set-up. */
  readonly connectMs: number;
  /** From the request sent until the first data event of a stream. */
  readonly firstEventMs: number;
  /** Between two data events; comments do not feed it. */
  readonly payloadIdleMs: number;
  /** Between two bytes of any kind. */
  readonly transportIdleMs: number;
  /** The whole attempt. */
  readonly totalMs: number;
}

/** What the relay does with an upstream call whose client has left. */
export type OnDisconnect = { readonly mode: "abort" } | { readonly mode: "drain"; readonly forMs: number; readonly bytesMax: number };

/** One destination: provider (dialect) + address + secret. */
export interface Upstream {
  readonly name: string;
  /** Name of the catalogue's preset, by which price tables know it. */
  readonly preset?: string;
  /** Name of a dialect in `provider/registry.ts`. */
  readonly provider: string;
  /** Without a trailing slash, e.g. `https://api.deepseek.com/v1`. */
  readonly baseUrl: string;
  /** `null` when the upstream wants none (a local vLLM). */
  readonly apiKey: string | null;
  readonly timeouts: Timeouts;
  /** Calls at the same time. */
  readonly inFlightMax: number;
  /** Part of them that is kept for accounts, then keys, below their fair share; from 0 to 1. */
  readonly reservedShare: number;
  readonly onDisconnect: OnDisconnect;
  /** What the relay does with an event that is not a JSON object: `fail` ends the stream, `skip` leaves the event out and counts it. */
  readonly malformed: "fail" | "skip";
  /** Takes `stream_options.include_usage`, so that a stream's usage can be asked for. */
  readonly usageInStream: boolean;
  /** `required`: `[DONE]` without any finish reason counts as truncated. */
  readonly finish: "required" | "optional";
  readonly eventBytesMax: number;
}

/** One way to serve a public model. */
export interface ModelRoute {
  readonly upstream: string;
  /** The name the upstream knows. */
  readonly model: string;
}

export interface Model {
  readonly name: string;
  /** In fallback order, at least one. */
  readonly routes: readonly ModelRoute[];
  /** The most tokens that an answer of this model can have. If a request gives no maximum, its hold covers this many. */
  readonly outputTokensMax?: number;
  /** `sliding`: money for streamed answers is set aside piece by piece; else, and by default, all of it at the start. */
  readonly hold?: "full" | "sliding";
  /** `false` for names that are accepted but left out of `GET /v1/models` (retired ones). */
  readonly isListed: boolean;
}

/** Names that are not listed, known by their beginning. */
export interface ModelPrefix {
  readonly startsWith: string;
  /** Names of upstreams in fallback order, at least one. */
  readonly upstreams: readonly string[];
}

/** A named set of limits. */
export interface Tier {
  /** Of each account of this tier. */
  readonly limits: LimitSet;
  /** Public models that its accounts may use; null is all. */
  readonly models: readonly string[] | null;
  /** Limits of one model within each account, in addition to the account's own. */
  readonly perModel: ReadonlyMap<string, LimitSet>;
}

export interface LimitsConfig {
  readonly tiers: ReadonlyMap<string, Tier>;
  /** The tier of accounts without one. If it is absent, those accounts are not limited. */
  readonly defaultTier: string | null;
}

/** The database in which the relay keeps its books. */
export type DatabaseConfig =
  | { readonly kind: "sqlite"; readonly path: string }
  /** `postgres://user:password@host:port/name`. It has a secret in it. */
  | { readonly kind: "postgres"; readonly url: string };

export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  /** What every answered request survives. `process`: the death of the process; `power`: a power cut, too. */
  readonly durability: "process" | "power";
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly models: ReadonlyMap<string, Model>;
  /**
   * Upstreams, in order, that take a model name which no other upstream owns. Empty when a configuration file owns the
   * models. With a sole upstream it is that one.
   */
  readonly takesAnyModel: readonly string[];
  /** Longest first; the first that fits decides. Absent or empty when a configuration file owns the models. */
  readonly modelPrefixes?: readonly ModelPrefix[];
  /** Upstreams that `ENABLE_<NAME>=false` took out; `upstream/model` names that say one of them go to the others. */
  readonly switchedOff?: readonly string[];
  /** Absent: nothing is limited. */
  readonly limits?: LimitsConfig;
  /** What upstreams cost and what accounts pay. */
  readonly prices: PriceBook;
  /** `MILLRACE_KEY`: the caller's own first key, or null. */
  readonly firstKey: string | null;
  /** `MILLRACE_ADMIN_TOKEN`, or null. */
  readonly adminToken: string | null;
  readonly log: {
    readonly level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
    readonly format: "json" | "text";
  };
  /** Addresses and networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[];
  readonly sizes: { readonly requestBytesMax: number; readonly answerBytesMax: number };
  readonly shutdown: { readonly delayMs: number; readonly drainMs: number };
  /** True if no upstream is configured and the built-in simulator answers as `demo`. */
  readonly isDemo: boolean;
  /** Sentences about things that are odd but legal (a suspicious key, an unused variable). Never hold a secret. */
  readonly warnings: readonly string[];
}

/** A mistake in the configuration. */
export interface ConfigMistake {
  /** `FILE:LINE:COLUMN`, or the name of an environment variable. */
  readonly place: string;
  /** One sentence that says what to do. */
  readonly message: string;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly mistakes: readonly ConfigMistake[] };
