/** The configuration that holds, and how it is loaded again. */
import * as z from "zod";
import type { ConfigReloader, ReloadReport } from "../../config/reload.ts";
import type { Caller } from "../access/caller.ts";
import type { Changes, Note } from "../changes.ts";
import { Refusal } from "../http/refusal.ts";

export const ReloadShape = z.strictObject({
  /** `unchanged`: the loaded configuration decides the same as the one before. */
  outcome: z.enum(["applied", "unchanged"]),
  revision: z.number().int(),
  /** Names of the settings that have changed and take effect only after a restart. */
  needs_restart: z.array(z.string()),
  warnings: z.array(z.string()),
});

type ReloadView = z.output<typeof ReloadShape>;

export interface ConfigurationParts {
  /** Null if no relay runs. */
  readonly reloader: ConfigReloader | null;
  readonly changes: Changes;
}

export class Configuration {
  readonly #parts: ConfigurationParts;

  constructor(parts: ConfigurationParts) {
    this.#parts = parts;
  }

  /** Loads the configuration again. The audit gets its entry before the configuration is in force, and also if it is refused. */
  async reload(caller: Caller): Promise<ReloadView> {
    const { reloader, changes } = this.#parts;
    if (reloader === null)
      throw new Refusal("route_unknown", "No relay runs on this data directory: its next start loads the configuration.");
    const { revision } = reloader;
    const report = await reloader.reload({ author: caller.actor, reason: "control API" }, async (coming) => {
      if (coming.outcome !== "postponed") await changes.write(caller, noteOf(revision, coming), []);
    });
    return shownReload(report);
  }
}

function noteOf(before: number | null, report: Exclude<ReloadReport, { outcome: "postponed" }>): Note {
  const { outcome, revision } = report;
  const more = outcome === "refused" ? { mistakes: report.mistakes.length } : { needs_restart: report.needsRestart };
  return { action: "config.reload", target: "config", before: { revision: before }, after: { revision, outcome, ...more } };
}

function shownReload(report: ReloadReport): ReloadView {
  switch (report.outcome) {
    case "applied":
    case "unchanged":
      return {
        outcome: report.outcome,
        revision: report.revision,
        needs_restart: [...report.needsRestart],
        warnings: [...report.warnings],
      };
    case "refused": {
      const lines = report.mistakes.map(({ place, message }) => `${place}: ${message}`);
      const message = `The configuration was refused, and what held before holds. Its mistakes:\n${lines.join("\n")}`;
      throw new Refusal("invalid_request", message, {}, { mistakes: report.mistakes });
    }
    case "postponed":
      throw new Refusal("store_unavailable", "The database does not answer, so the configuration has no number. The relay tries it again.");
  }
}
