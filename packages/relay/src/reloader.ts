/** Where a reload swaps: the configuration is loaded, checked whole, numbered, and takes the place of the one before it. */
import { errorStack, errorText } from "./basics/error-text.ts";
import type { CurrentSnapshot } from "./chat/current-snapshot.ts";
import { snapshotOf } from "./chat/snapshot.ts";
import type { Config, ConfigMistake, ConfigResult } from "./config/config.ts";
import { formatMistakes } from "./config/load.ts";
import { asStarted, needsRestart } from "./config/reload.ts";
import type { ConfigReloader, ReloadReport } from "./config/reload.ts";
import { newRevision } from "./config/revision.ts";
import type { RevisionCause, RevisionSource, RevisionStore } from "./config/revision.ts";
import type { Log } from "./insight/log.ts";
import type { Metrics } from "./insight/metrics.ts";

/** Where configurations come from, and what the relay makes of them. */
export interface ConfigSource {
  readonly source: RevisionSource;
  /** Reads and checks everything. Never rejects. */
  readonly load: () => Promise<ConfigResult>;
  /** What the relay makes of a configuration before it runs it, or why it cannot. */
  readonly complete: (config: Config) => Config | ConfigMistake;
  /** What people should know of a configuration as things are, beside its own warnings. */
  readonly warningsOf: (config: Config) => readonly string[];
  readonly revisions: RevisionStore;
}

export interface ReloaderParts extends ConfigSource {
  readonly current: CurrentSnapshot;
  readonly metrics: Pick<Metrics, "reloads">;
  readonly log: Pick<Log, "info" | "trouble">;
}

export class Reloader implements ConfigReloader {
  readonly #parts: ReloaderParts;
  /** What the relay was started with. */
  readonly #started: Config;
  #needsRestart: readonly string[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ReloaderParts) {
    this.#parts = parts;
    this.#started = parts.current.now.config;
  }

  /** Names of what was changed and holds only after a restart. */
  get needsRestart(): readonly string[] {
    return this.#needsRestart;
  }

  get revision(): number | null {
    return this.#parts.current.now.revision;
  }

  reload(cause: RevisionCause, beforeSwap?: (report: ReloadReport) => Promise<void>): Promise<ReloadReport> {
    const turn = this.#last.then(() => this.#reload(cause, beforeSwap));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** The same where nobody waits for the answer. Never rejects. @returns false when it is to be tried again. */
  async reloadUnasked(reason: string): Promise<boolean> {
    try {
      return (await this.reload({ author: "relay", reason })).outcome !== "postponed";
    } catch (error) {
      this.#parts.log.trouble(`bug in a reload (${reason}), and what held before holds: ${errorStack(error)}`);
      return true;
    }
  }

  async #reload(
    cause: RevisionCause,
    beforeSwap: (report: ReloadReport) => Promise<void> = () => Promise.resolve(),
  ): Promise<ReloadReport> {
    const { current, metrics } = this.#parts;
    const loaded = await this.#load();
    const report = loaded.ok ? await this.#number(loaded.config, cause) : this.#refused(loaded.mistakes);
    await beforeSwap(report);
    if (loaded.ok && report.outcome === "applied") current.swap(snapshotOf(asStarted(this.#started, loaded.completed), report.revision));
    if ("needsRestart" in report) this.#needsRestart = report.needsRestart;
    metrics.reloads.add({ result: report.outcome });
    this.#tell(report, cause);
    return report;
  }

  async #load(): Promise<
    { readonly ok: true; readonly config: Config; readonly completed: Config } | Extract<ConfigResult, { readonly ok: false }>
  > {
    const loaded = await this.#parts.load();
    if (!loaded.ok) return loaded;
    const completed = this.#parts.complete(loaded.config);
    return "place" in completed ? { ok: false, mistakes: [completed] } : { ok: true, config: loaded.config, completed };
  }

  #refused(mistakes: readonly ConfigMistake[]): ReloadReport {
    return { outcome: "refused", revision: this.revision, mistakes };
  }

  async #number(config: Config, cause: RevisionCause): Promise<ReloadReport> {
    const { revisions, source, warningsOf } = this.#parts;
    try {
      const revision = await revisions.numberOf(newRevision(config, source, cause));
      const warnings = [...config.warnings, ...warningsOf(config)];
      const outcome = revision === this.revision ? "unchanged" : "applied";
      return { outcome, revision, needsRestart: needsRestart(this.#started, config), warnings };
    } catch (error) {
      return { outcome: "postponed", revision: this.revision, reason: errorText(error) };
    }
  }

  #tell(report: ReloadReport, { reason }: RevisionCause): void {
    const { log } = this.#parts;
    const revision = report.revision ?? "without a number";
    switch (report.outcome) {
      case "refused":
        return log.trouble(
          `configuration refused (${reason}), revision ${revision} stays; the mistakes:\n${formatMistakes(report.mistakes)}`,
        );
      case "postponed":
        return log.trouble(`configuration not taken yet (${reason}), revision ${revision} stays: ${report.reason}`);
      default:
        log.info(`configuration ${report.outcome} (${reason}): revision ${revision} holds`);
        for (const warning of report.warnings) log.info(`configuration warning: ${warning}`);
        if (report.needsRestart.length > 0)
          log.trouble(`configuration: ${report.needsRestart.join(", ")} changed, and holds only after a restart`);
    }
  }
}
