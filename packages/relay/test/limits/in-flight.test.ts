import { describe, expect, test } from "vitest";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { gauge, tierForAll } from "./tiers.ts";

let relay: TestRelay;

const IN_FLIGHT_MAX = 20;
const LONG = process.env["MILLRACE_LONG"] === "1";
const STREAMS = LONG ? 10_000 : 500;

/** Ways for a stream to end; `leave` is for clients that do not stay. */
const ENDS: readonly { readonly scenario: Partial<Scenario>; readonly leave?: true; readonly isPlain?: true }[] = [
  { scenario: { events: 5, ratePerSecond: 40 } },
  { scenario: { events: 5, ttftMs: 80 }, isPlain: true },
  { scenario: { fault: { kind: "cut", bytes: 700 } } },
  { scenario: { fault: { kind: "rst", bytes: 300 } } },
  { scenario: { fault: { kind: "status", status: 503 } } },
  { scenario: { fault: { kind: "error-event", afterEvents: 3, shape: "openai" } } },
  { scenario: { fault: { kind: "blank" } } },
  { scenario: { fault: { kind: "garbage-event", afterEvents: 2 } } },
  { scenario: { fault: { kind: "endless-stream" }, ratePerSecond: 200 }, leave: true },
  { scenario: { fault: { kind: "hang" } }, leave: true },
  { scenario: { fault: { kind: "hang-headers" } }, leave: true },
  { scenario: { fault: { kind: "hang" } }, leave: true, isPlain: true },
];

const HANGS = ENDS.findIndex(({ scenario, leave }) => scenario.fault?.kind === "hang" && leave === true);

function endOf(text: string): (typeof ENDS)[number] {
  const end = ENDS[Number(/way (\d+)/.exec(text)?.[1])];
  if (end === undefined) throw new Error("no such way to end");
  return end;
}

/** One stream: asks until there is a slot for it, then ends its way. Leaves at a moment drawn anew each time. */
async function live(way: number): Promise<void> {
  const { leave, isPlain } = endOf(`way ${way}`);
  const body = { model: "m", stream: isPlain !== true, messages: [{ role: "user", content: `way ${way}` }] };
  for (;;) {
    const gone = leave === undefined ? null : AbortSignal.timeout(1 + Math.floor(Math.random() * 250));
    const answer = await call(relay, { body, ...(gone === null ? {} : { signal: gone }) }).catch(() => null);
    if (answer?.status !== 429) return;
    expect(errorOf(answer).code).toBe("too_many_in_flight");
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 30));
  }
}

/** Takes slots with requests that are never answered. @returns what makes their clients leave, at different moments. */
async function fill(count: number): Promise<() => Promise<void>> {
  const leavers = Array.from({ length: count }, () => new AbortController());
  const body = { model: "m", stream: true, messages: [{ role: "user", content: `way ${HANGS}` }] };
  const left = leavers.map(({ signal }) => call(relay, { body, signal }).catch(() => null));
  await until(() => relay.simulators["a"]?.counts.openRequests === count, 30_000);
  return async () => {
    for (const leaver of leavers) {
      leaver.abort();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await Promise.all(left);
  };
}

async function start(limits: RelaySetup["limits"], upstreams: RelaySetup["upstreams"]): Promise<void> {
  relay = await relayForTest({ upstreams, limits });
}

describe("requests in flight", () => {
  test(
    `are never more than the limit while ${STREAMS} end in every way, and come down to 0`,
    { timeout: LONG ? 900_000 : 120_000 },
    async () => {
      let most = 0;
      const script = (seen: { readonly bodyText: string }): Partial<Scenario> => {
        most = Math.max(most, (relay.simulators["a"]?.counts.openRequests ?? 0) + 1);
        return endOf(seen.bodyText).scenario;
      };
      await start(tierForAll({ limits: { inFlight: IN_FLIGHT_MAX } }), { a: { simulator: { script } } });
      let next = 0;
      const worker = async (): Promise<void> => {
        while (next < STREAMS) await live(next++ % ENDS.length);
      };
      const empty = await fill(IN_FLIGHT_MAX);
      const workers = Array.from({ length: 3 * IN_FLIGHT_MAX }, worker);
      // Every slot is taken, however slowly a busy machine lets requests arrive: somebody is refused.
      await until(() => relay.app.metrics.render().includes('millrace_refusals_total{code="too_many_in_flight"}'), 30_000);
      await empty();
      await Promise.all(workers);
      await until(() => gauge(relay, "millrace_limited_in_flight") === 0);
      expect(most).toBeLessThanOrEqual(IN_FLIGHT_MAX);
      const full = await Promise.all(
        Array.from({ length: IN_FLIGHT_MAX }, () => call(relay, { body: { model: "m", messages: [{ role: "user", content: "way 1" }] } })),
      );
      expect(full.map(({ status }) => status)).toEqual(full.map(() => 200));
      const ends = new Set(relay.rows("requests").map((row) => row["end_reason"]));
      expect([...ends]).toEqual(expect.arrayContaining(["complete", "client_gone", "upstream_truncated", "upstream_failed", "refused"]));
    },
  );

  test("are told to wait a second when all slots are taken, and the refused one gets a row", async () => {
    await start(tierForAll({ limits: { inFlight: 1 } }), { a: { simulator: { scenario: { fault: { kind: "hang" } } } } });
    const leave = new AbortController();
    const first = call(relay, { signal: leave.signal }).catch(() => null);
    await until(() => gauge(relay, "millrace_limited_in_flight") === 1);
    const answer = await call(relay);
    expect(answer.status).toBe(429);
    expect(answer.headers).toMatchObject({
      "retry-after": "1",
      "retry-after-ms": "1000",
      "x-ratelimit-limit-in-flight": "1",
      "x-ratelimit-remaining-in-flight": "0",
      "x-ratelimit-reset-in-flight": "1s",
    });
    expect(errorOf(answer)).toMatchObject({ code: "too_many_in_flight", type: "rate_limit_error" });
    expect(errorOf(answer).message).toContain("account in_flight");
    expect(await relay.row()).toMatchObject({ end_reason: "refused", error_code: "too_many_in_flight", status: 429, model: "m" });
    expect(relay.app.metrics.render()).toContain('millrace_refusals_total{code="too_many_in_flight"} 1');
    leave.abort();
    await first;
    await until(() => gauge(relay, "millrace_limited_in_flight") === 0);
  });

  test("have their slot back when the last byte is there, so that one client can go on without a pause", async () => {
    await start(tierForAll({ limits: { inFlight: 1 } }), { a: { simulator: { scenario: { events: 3 } } } });
    for (const isStream of [true, false, true, true, false, false]) {
      for (let times = 0; times < 10; times++) {
        const { status } = await call(relay, { body: { model: "m", stream: isStream, messages: MESSAGES } });
        expect(status).toBe(200);
      }
    }
  });

  test("give their slots back when the relay stops, and when something refuses them after the limits", async () => {
    await start(tierForAll({ limits: { inFlight: 5, rpm: 8 } }), {
      a: { inFlightMax: 1, simulator: { scenario: { fault: { kind: "hang" } } } },
    });
    const answers: Promise<Answer | null>[] = [call(relay).catch(() => null)];
    await until(() => relay.simulators["a"]?.counts.openRequests === 1);
    for (let times = 0; times < 10; times++) expect((await call(relay)).status).toBe(503);
    expect(gauge(relay, "millrace_limited_in_flight")).toBe(1);
    await relay.app.stop({ delayMs: 0, drainMs: 0 });
    expect((await answers[0])?.status).toBe(503);
    expect(gauge(relay, "millrace_limited_in_flight")).toBe(0);
  });

  test("give their slots back when the relay itself throws", async () => {
    await start(tierForAll({ limits: { inFlight: 1 } }), { a: { simulator: { scenario: { events: 3 } } } });
    const { requests } = relay.app.metrics;
    const counted = requests.add.bind(requests);
    requests.add = () => {
      throw new Error("a bug");
    };
    for (const isStream of [true, false]) {
      await call(relay, { body: { model: "m", stream: isStream, messages: MESSAGES } }).catch(() => null);
      await until(() => gauge(relay, "millrace_limited_in_flight") === 0);
    }
    requests.add = counted;
    expect((await call(relay)).status).toBe(200);
    expect(relay.logLines.filter((line) => line.includes("a bug"))).toHaveLength(2);
  });

  test("keep their slot while they are read on for without a client", async () => {
    const scenario = { events: 40, ratePerSecond: 100 } as const;
    const onDisconnect = { mode: "drain", forMs: 5_000, bytesMax: 1_000_000 } as const;
    await start(tierForAll({ limits: { inFlight: 1 } }), { a: { onDisconnect, simulator: { scenario } } });
    const leave = new AbortController();
    await call(relay, { signal: leave.signal, onBytes: () => leave.abort() }).catch(() => null);
    expect((await call(relay)).status).toBe(429);
    await until(() => gauge(relay, "millrace_limited_in_flight") === 0);
    expect(relay.simulators["a"]?.counts.requests).toBe(1);
  });
});
