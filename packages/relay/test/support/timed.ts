/**
 * Times with a control that is measured in the same run, so that a claim about the relay holds on a busy machine too:
 * a bound is a floor, in ms, and a multiple of what the control took beside it.
 */

/** How long an act takes, in ms. */
export async function timed(act: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await act();
  return performance.now() - startedAt;
}

/** The middle one of times in ms. */
export function median(times: readonly number[]): number {
  return times.toSorted((left, right) => left - right)[Math.floor(times.length / 2)] ?? Number.NaN;
}

/** How long a promise takes from now on, and how long the slowest of idle requests that are made meanwhile, one after another, both in ms. */
export async function timedBeside(
  awaited: Promise<unknown>,
  idle: () => Promise<unknown>,
): Promise<{ readonly tookMs: number; readonly slowestIdleMs: number }> {
  let isOver = false;
  const took = timed(() => awaited).finally(() => (isOver = true));
  let slowestIdleMs = 0;
  do {
    slowestIdleMs = Math.max(slowestIdleMs, await timed(idle));
    await new Promise((resolve) => setTimeout(resolve, 10));
  } while (!isOver);
  return { tookMs: await took, slowestIdleMs };
}
