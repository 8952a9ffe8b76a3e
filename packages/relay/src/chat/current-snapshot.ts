/**
 * The snapshot that holds now. A reload swaps it in one assignment: requests that entered before go on with the one they took, those
 * that enter afterwards take the new one.
 */
import type { Snapshot } from "./snapshot.ts";

export class CurrentSnapshot {
  #now: Snapshot;
  readonly #followers: ((snapshot: Snapshot) => void)[] = [];

  constructor(first: Snapshot) {
    this.#now = first;
  }

  get now(): Snapshot {
    return this.#now;
  }

  /** Calls back with each snapshot that is swapped in, before any request takes it. */
  follow(follower: (snapshot: Snapshot) => void): void {
    this.#followers.push(follower);
  }

  swap(next: Snapshot): void {
    for (const follower of this.#followers) follower(next);
    this.#now = next;
  }
}
