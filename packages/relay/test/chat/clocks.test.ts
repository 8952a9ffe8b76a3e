import { describe, expect, test } from "vitest";
import { CallClock } from "../../src/chat/call-clock.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { connectingTo, startSilentPort } from "../support/silent-port.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

function start(upstreams: RelaySetup["upstreams"], more: Partial<RelaySetup> = {}): Promise<TestRelay> {
  return relayForTest({ upstreams, ...more });
}

const LIMITS = { connectMs: 10, firstEventMs: 100, payloadIdleMs: 50, transportIdleMs: 30, totalMs: 1_000 };

describe("the clocks of a call, on their own", () => {
  test("before the request is sent only the connect clock runs", () => {
    const clock = new CallClock(LIMITS, true, 0);
    expect(clock.overdue(9)).toBeNull();
    expect(clock.overdue(10)).toBe("connect");
    clock.sent(5);
    expect(clock.overdue(90)).toBeNull();
    expect(clock.overdue(105)).toBe("first_event");
  });

  test("comments feed the transport clock and not the payload clock", () => {
    const clock = new CallClock(LIMITS, true, 0);
    clock.sent(0);
    clock.event(10);
    for (let now = 10; now < 60; now += 10) {
      clock.byte(now);
      expect(clock.overdue(now + 5)).toBeNull();
    }
    clock.byte(60);
    expect(clock.overdue(60)).toBe("payload_idle");
  });

  test("silence after a byte is told by the transport clock", () => {
    const clock = new CallClock(LIMITS, true, 0);
    clock.sent(0);
    clock.byte(1);
    clock.event(1);
    expect(clock.overdue(30)).toBeNull();
    expect(clock.overdue(31)).toBe("transport_idle");
  });

  test("a plain answer knows connect and total alone", () => {
    const clock = new CallClock(LIMITS, false, 0);
    clock.sent(1);
    expect(clock.overdue(999)).toBeNull();
    expect(clock.overdue(1_000)).toBe("total");
  });

  test("no clock runs while we have paused reading", () => {
    const clock = new CallClock(LIMITS, true, 0);
    clock.sent(0);
    clock.byte(10);
    clock.event(10);
    clock.pause(20);
    expect(clock.overdue(100_000)).toBeNull();
    clock.resume(100_000);
    expect(clock.overdue(100_019)).toBeNull();
    expect(clock.overdue(100_020)).toBe("transport_idle");
  });
});

describe("a relay whose upstream is slow", () => {
  test("gives up a connection that is not accepted in time, and leaves no socket behind", async () => {
    const silent = await startSilentPort();
    try {
      const relay = await start({ a: { baseUrl: `http://127.0.0.1:${silent.port}/v1`, timeouts: { connectMs: 400 } } });
      const startedAt = performance.now();
      const answer = await call(relay);
      expect(answer.status).toBe(504);
      expect(errorOf(answer).message).toContain("a did not accept a connection within 0.4 s");
      expect(performance.now() - startedAt).toBeGreaterThan(390);
      expect(performance.now() - startedAt).toBeLessThan(1_400);
      expect(connectingTo(silent.port)).toBe(silent.waiting);
    } finally {
      silent.close();
    }
  });

  test("gives up an upstream that is silent from the start", async () => {
    const relay = await start({ a: { simulator: { scenario: { fault: { kind: "hang" } } }, timeouts: { firstEventMs: 300 } } });
    const startedAt = performance.now();
    const answer = await call(relay);
    expect(answer.status).toBe(504);
    expect(errorOf(answer)).toMatchObject({ code: "upstream_timeout" });
    expect(answer.headers["x-should-retry"]).toBe("false");
    expect(performance.now() - startedAt).toBeGreaterThan(290);
    expect(performance.now() - startedAt).toBeLessThan(1_300);
  });

  test("fails a stream that stays silent in its middle, at its limit", async () => {
    const relay = await start({
      a: {
        simulator: { scenario: { events: 20, fault: { kind: "stall", events: 5 } } },
        timeouts: { payloadIdleMs: 400, transportIdleMs: 5_000 },
      },
    });
    const startedAt = performance.now();
    const answer = await call(relay);
    expect(answer.isWhole).toBe(false);
    expect(errorOf(answer).code).toBe("upstream_stalled");
    expect(performance.now() - startedAt).toBeLessThan(1_400);
    expect(await relay.row()).toMatchObject({ end_reason: "upstream_stalled" });
  });

  test("lets a long gap pass that is within its limits, with comments of our own meanwhile", async () => {
    const gap = { event: 5, ms: 1_200 };
    const relay = await start(
      {
        a: {
          simulator: { scenario: { text: "a b c d e f g h", gapBefore: gap } },
          timeouts: { payloadIdleMs: 3_000, transportIdleMs: 3_000 },
        },
      },
      { streamTimes: { openAfterMs: 200, keepAliveMs: 250 } },
    );
    const answer = await call(relay);
    expect(readStream(answer)).toMatchObject({ outcome: "complete", choices: [{ text: "a b c d e f g h" }] });
    expect(answer.body.match(/^: ka$/gm)?.length).toBeGreaterThanOrEqual(3);
    expect(answer.body).not.toContain(": ka\n\n");
  });

  test("fails a stream kept alive by comments alone at its payload limit", async () => {
    const comments = { text: ": ka", everyMs: 50, blankLine: true };
    const relay = await start({
      a: {
        simulator: { scenario: { events: 20, gapBefore: { event: 3, ms: 10_000, comments } } },
        timeouts: { payloadIdleMs: 500, transportIdleMs: 200 },
      },
    });
    const startedAt = performance.now();
    expect(errorOf(await call(relay)).code).toBe("upstream_stalled");
    expect(performance.now() - startedAt).toBeGreaterThan(480);
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  test("ends a stream and a plain answer at their total limit", async () => {
    const relay = await start({
      a: { simulator: { scenario: { fault: { kind: "endless-stream" }, ratePerSecond: 50 } }, timeouts: { totalMs: 400 } },
    });
    expect(errorOf(await call(relay)).code).toBe("upstream_timeout");
    relay.simulators["a"]?.setScenario({ fault: { kind: "hang" } });
    const plain = await call(relay, { body: { model: "m", messages: MESSAGES } });
    expect(plain.status).toBe(504);
  });

  test("sends its headers early, and the next upstream is still possible", async () => {
    const relay = await start(
      {
        a: { simulator: { scenario: { fault: { kind: "hang" } } }, timeouts: { firstEventMs: 600 } },
        b: { simulator: { scenario: { text: "from b" } } },
      },
      { streamTimes: { openAfterMs: 200, keepAliveMs: 150 } },
    );
    const answer = await call(relay);
    expect(answer.status).toBe(200);
    expect(answer.body.startsWith(": ka\n")).toBe(true);
    expect(readStream(answer)).toMatchObject({ outcome: "complete", choices: [{ text: "from b" }] });
  });

  test("tells a failure of every upstream in the stream when the headers have left", async () => {
    const relay = await start(
      { a: { simulator: { scenario: { fault: { kind: "hang" } } }, timeouts: { firstEventMs: 500 } } },
      { streamTimes: { openAfterMs: 100, keepAliveMs: 150 } },
    );
    const answer = await call(relay);
    expect(answer.status).toBe(200);
    expect(answer.isWhole).toBe(false);
    expect(errorOf(answer).code).toBe("upstream_timeout");
    expect(answer.body).not.toContain("[DONE]");
  });

  test("holds the role back until there is content, so that a second upstream leaves no trace of the first", async () => {
    const relay = await start({
      a: { simulator: { scenario: { fault: { kind: "role-only" } } } },
      b: { simulator: { scenario: { text: "from b" } } },
    });
    const answer = await call(relay);
    expect(answer.body.match(/"role":"assistant"/g)?.length).toBe(1);
    expect(readStream(answer).choices[0]?.text).toBe("from b");
  });
});
