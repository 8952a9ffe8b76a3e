/** What a trial is asked to do. */

/** `peer`: one of several relays. `none`: the database is slow, and nothing of it dies. */
export type Kill = "relay" | "database" | "peer" | "none";

export interface TrialPlan {
  readonly kill: Kill;
  readonly cycles: number;
  readonly seed: number;
  /** Told how far it is. */
  readonly say: (line: string) => void;
}
