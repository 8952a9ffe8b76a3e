/** What a reload may come to, and what of a configuration cannot change while the relay runs. */
import { isDeepStrictEqual } from "node:util";
import type { Config, ConfigMistake } from "./config.ts";
import type { RevisionCause } from "./revision.ts";

export type ReloadReport =
  | {
      /** `unchanged`: what was loaded decides the same as what held before. */
      readonly outcome: "applied" | "unchanged";
      readonly revision: number;
      /** Names of what was changed and holds only after a restart. */
      readonly needsRestart: readonly string[];
      readonly warnings: readonly string[];
    }
  /** Nothing of it holds; the configuration before it does. */
  | { readonly outcome: "refused"; readonly revision: number | null; readonly mistakes: readonly ConfigMistake[] }
  /** The database did not give it a number: it is tried again. */
  | { readonly outcome: "postponed"; readonly revision: number | null; readonly reason: string };

export interface ConfigReloader {
  /** Number of the configuration that holds; null where the database has not given it one yet. */
  readonly revision: number | null;
  /**
   * Loads the configuration, checks it whole, and swaps it in. One at a time.
   * @param beforeSwap is told how it will end, before anything changes; where it rejects nothing does, and this rejects too.
   */
  reload(cause: RevisionCause, beforeSwap?: (report: ReloadReport) => Promise<void>): Promise<ReloadReport>;
}

/** What is bound, opened or made once, at the start. */
const FIXED: Readonly<Record<string, (config: Config) => unknown>> = {
  listen: ({ listen }) => listen,
  data: ({ dataDir }) => dataDir,
  database: ({ database }) => database,
  durability: ({ durability }) => durability,
  log: ({ log }) => log,
  MILLRACE_KEY: ({ firstKey }) => firstKey,
};

/** Names of what a configuration says otherwise than the one that the relay was started with, and what needs a restart to hold. */
export function needsRestart(started: Config, loaded: Config): string[] {
  return Object.entries(FIXED).flatMap(([name, read]) => (isDeepStrictEqual(read(started), read(loaded)) ? [] : [name]));
}

/** The loaded configuration with what cannot change as the relay was started. */
export function asStarted(started: Config, loaded: Config): Config {
  const { listen, dataDir, database, durability, log, firstKey } = started;
  return { ...loaded, listen, dataDir, database, durability, log, firstKey };
}
