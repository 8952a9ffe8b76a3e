/**
 * A bound on retries (the same upstream again), so that a sick upstream does not get more load than it had when it was well. Every
 * first attempt earns a tenth of a retry, and every second earns one more; the budget saves up at most ten. Fallbacks to another
 * upstream do not draw from it.
 */
export interface RetryBudget {
  readonly tokens: number;
  readonly atMs: number;
}

const TOKENS_MAX = 10;
const PER_FIRST_ATTEMPT = 0.1;
const PER_MS = 0.001;

/** A full budget. */
export function newRetryBudget(nowMs: number): RetryBudget {
  return { tokens: TOKENS_MAX, atMs: nowMs };
}

function refill(budget: RetryBudget, nowMs: number, extra: number): RetryBudget {
  const earned = Math.max(0, nowMs - budget.atMs) * PER_MS + extra;
  return { tokens: Math.min(TOKENS_MAX, budget.tokens + earned), atMs: nowMs };
}

/** Books a first attempt. */
export function earnRetry(budget: RetryBudget, nowMs: number): RetryBudget {
  return refill(budget, nowMs, PER_FIRST_ATTEMPT);
}

/** Takes one retry, or null when the budget is spent. */
export function takeRetry(budget: RetryBudget, nowMs: number): RetryBudget | null {
  const full = refill(budget, nowMs, 0);
  return full.tokens < 1 ? null : { tokens: full.tokens - 1, atMs: nowMs };
}

/**
 * Wait before retry number `retry` (1, 2, ...), with full jitter over the upper half.
 * @param draw a number in [0, 1).
 */
export function backoffMs(retry: number, draw: number): number {
  const ceiling = Math.min(100 * 2 ** (retry - 1), 2_000);
  return ceiling / 2 + (ceiling / 2) * draw;
}
