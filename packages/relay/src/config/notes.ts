/** What readers of the configuration collect on their way, so that all mistakes come at once. */
import type { ConfigMistake } from "./config.ts";

export interface Notes {
  readonly mistakes: ConfigMistake[];
  readonly warnings: string[];
}

/** An empty collection. */
export function newNotes(): Notes {
  return { mistakes: [], warnings: [] };
}
