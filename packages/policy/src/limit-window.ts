/** How much was used in the last minute. All times are milliseconds of one monotonic clock. */

/** The time over which limits count, in milliseconds. */
export const WINDOW_MS: number = 60_000;
/**
 * Amounts of one bucket leave together, when the youngest that can be in it is a minute old. So no minute ever has more
 * than the limit, and a steady flow loses less than one in a hundred. A window has at most 121 buckets.
 */
export const BUCKET_MS: number = 500;

/** The longest wait for room. */
export const WINDOW_WAIT_MS_MAX: number = WINDOW_MS + BUCKET_MS;

interface Bucket {
  readonly number: number;
  amount: number;
}

/** A sliding window over one minute. */
export class LimitWindow {
  /** Oldest first; none is empty. */
  readonly #buckets: Bucket[] = [];
  #used = 0;

  used(nowMs: number): number {
    for (let first = this.#buckets[0]; first !== undefined && leavesAt(first) <= nowMs; first = this.#buckets[0]) {
      this.#used -= first.amount;
      this.#buckets.shift();
    }
    return this.#used;
  }

  /** Books an amount. @returns the bucket it is in, for {@link giveBack}. */
  add(amount: number, nowMs: number): number {
    const number = Math.floor(nowMs / BUCKET_MS);
    const last = this.#buckets.at(-1);
    if (amount <= 0) return number;
    this.#used += amount;
    if (last === undefined || last.number < number) {
      this.#buckets.push({ number, amount });
      return number;
    }
    last.amount += amount;
    return last.number;
  }

  /** Takes back the amount booked above the true one, unless it has already left the window. */
  giveBack(amount: number, bucket: number): void {
    const at = this.#buckets.findLastIndex((each) => each.number === bucket);
    const found = this.#buckets[at];
    if (found === undefined) return;
    const given = Math.min(amount, found.amount);
    found.amount -= given;
    this.#used -= given;
    if (found.amount <= 0) this.#buckets.splice(at, 1);
  }

  /** Milliseconds until `amount` more is within `limit`: 0 when it is now, Infinity when it never will be. */
  untilFits(amount: number, limit: number, nowMs: number): number {
    if (amount > limit) return Infinity;
    let used = this.used(nowMs);
    if (used + amount <= limit) return 0;
    for (const bucket of this.#buckets) {
      used -= bucket.amount;
      if (used + amount <= limit) return leavesAt(bucket) - nowMs;
    }
    return 0;
  }

  /** Milliseconds until everything booked so far has left. */
  untilEmpty(nowMs: number): number {
    this.used(nowMs);
    const last = this.#buckets.at(-1);
    return last === undefined ? 0 : leavesAt(last) - nowMs;
  }

  /** Buckets in use, for tests of the bound. */
  get size(): number {
    return this.#buckets.length;
  }
}

function leavesAt(bucket: Bucket): number {
  return (bucket.number + 1) * BUCKET_MS + WINDOW_MS;
}
