import { expect, test } from "vitest";
import { call, readStream } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";

const MINUTE = 60_000;
/** The real thing takes twenty minutes; without `--long` the same shape runs three hundred times as fast. */
const SPEED = process.env["MILLRACE_LONG"] === "1" ? 1 : 300;

test(
  `a stream of twenty minutes with a gap of six passes when its limits allow it (${SPEED} times as fast)`,
  { timeout: (25 * MINUTE) / SPEED + 10_000 },
  async () => {
    const gap = { event: 40, ms: (6 * MINUTE) / SPEED, comments: { text: ": keep-alive", everyMs: 10_000 / SPEED, blankLine: true } };
    const words = Array.from({ length: 80 }, (_, i) => `word${i}`).join(" ");
    const limits = {
      payloadIdleMs: (7 * MINUTE) / SPEED,
      transportIdleMs: Math.max(MINUTE / SPEED, 1_000),
      totalMs: (30 * MINUTE) / SPEED,
    };
    const relay = await startRelay({
      upstreams: {
        a: { simulator: { scenario: { text: words, ratePerSecond: (80 / (14 * 60)) * SPEED, gapBefore: gap } }, timeouts: limits },
      },
    });
    try {
      const startedAt = performance.now();
      const answer = await call(relay);
      expect(readStream(answer)).toMatchObject({ outcome: "complete", choices: [{ text: words }] });
      expect(performance.now() - startedAt).toBeGreaterThan((19 * MINUTE) / SPEED);
      expect(await relay.row()).toMatchObject({ end_reason: "complete" });
    } finally {
      await relay.close();
    }
  },
);
