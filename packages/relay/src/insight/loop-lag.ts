/** Samples how late the event loop runs, in seconds. When some work stalls every stream at once, this number shows it. */

const PERIOD_MS = 500;

/** Reports lag in seconds twice a second until stopped. */
export function watchLoop(report: (seconds: number) => void): { stop(): void } {
  let expected = performance.now() + PERIOD_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    report(Math.max(0, now - expected) / 1000);
    expected = now + PERIOD_MS;
  }, PERIOD_MS).unref();
  return { stop: () => clearInterval(timer) };
}
