/** Mistakes and warnings that the readers of the configuration collect, so that the owner sees all of them at once. */
import type { ConfigMistake } from "./config.ts";

export interface Notes {
  readonly mistakes: ConfigMistake[];
  readonly warnings: string[];
}

/** An empty collection. */
export function newNotes(): Notes {
  return { mistakes: [], warnings: [] };
}
