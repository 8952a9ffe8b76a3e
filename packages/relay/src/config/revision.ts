/** Revisions: the numbers of configurations. The relay stores a hash of what a configuration decides, and never a secret. */
import { createHash } from "node:crypto";
import { CAPACITY } from "./capacity.ts";
import type { Config } from "./config.ts";

/** Where the content of a configuration comes from. `api` and `command` are reserved for configurations that do not come from files. */
export type RevisionSource = "file" | "environment" | "api" | "command";

/** Why a configuration is loaded. */
export interface RevisionCause {
  /** Id of a member, `owner`, or `relay` if the relay noticed the change itself. */
  readonly author: string;
  readonly reason: string;
}

/** A configuration that may need a number. */
export interface NewRevision extends RevisionCause {
  /** Unix milliseconds. */
  readonly at: number;
  readonly source: RevisionSource;
  /** See {@link contentHash}. */
  readonly contentHash: string;
}

/** Numbers configurations. The adapter is in `store/revision-store.ts`. */
export interface RevisionStore {
  /**
   * The number of a configuration: the newest number if the newest configuration has the same content, else the next number. A number
   * belongs to one content for good, over restarts and over all relays on a database. Rejects if the database does not answer.
   */
  numberOf(revision: NewRevision): Promise<number>;
}

/** The part of a newly loaded configuration that the relay stores. */
export function newRevision(config: Config, source: RevisionSource, { author, reason }: RevisionCause): NewRevision {
  return { at: Date.now(), author, source, reason, contentHash: contentHash(config) };
}

/**
 * SHA-256, in hexadecimal, of all that a configuration decides about requests. Two relays of the same files have the same one,
 * wherever they listen and however much their machines can carry.
 */
function contentHash(config: Config): string {
  const { upstreams, models, takesAnyModel, modelPrefixes, switchedOff, limits, trustedProxies, sizes, shutdown, adminToken } = config;
  const { prices, costs } = config.prices;
  const routing = { upstreams, models, takesAnyModel, modelPrefixes, switchedOff };
  const content = { ...routing, limits, trustedProxies, sizes, shutdown, adminToken, prices, costs };
  return createHash("sha256").update(JSON.stringify(content, plain)).digest("hex");
}

function plain(name: string, value: unknown): unknown {
  if (value instanceof Map) return [...value];
  if (typeof value === "bigint") return `${value}n`;
  return name === "inFlightMax" && value === CAPACITY.callsMax ? "default" : value;
}
