/** Samples how late the event loop is: the one number that tells when work stalls every stream at once. */

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
