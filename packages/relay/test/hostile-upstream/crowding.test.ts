import { afterEach, expect, test } from "vitest";
import type { SeenRequest } from "../../src/simulator/seen-request.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { median, timed } from "../support/timed.ts";
import { eventually, gauge } from "./guards.ts";
import { chunked, startRawUpstream } from "./raw-upstream.ts";
import type { RawUpstream } from "./raw-upstream.ts";

let relay: TestRelay;
let raw: RawUpstream | null = null;
afterEach(async () => {
  await raw?.close();
  raw = null;
});

async function start(upstreams: RelaySetup["upstreams"]): Promise<void> {
  relay = await relayForTest({ upstreams });
}

function ask(word: string, signal?: AbortSignal): Promise<Answer> {
  const body = { model: "m", stream: true, messages: MESSAGES, x_word: word };
  return call(relay, { body, ...(signal === undefined ? {} : { signal }) });
}

function wordOf(request: SeenRequest): string {
  return (request.json as { x_word?: string }).x_word ?? "";
}

test("a response forged right behind an answer is nobody's answer", async () => {
  const script = (request: SeenRequest): { text: string } => ({ text: `answer to ${wordOf(request)}` });
  await start({ a: { simulator: { scenario: { fault: { kind: "extra-bytes", when: "same-tick" } }, script } } });
  for (let round = 0; round < 6; round++) {
    const words = Array.from({ length: 8 }, (_, i) => `word-${round}-${i}`);
    const answers = await Promise.all(words.map((word) => ask(word)));
    expect(answers.map((answer) => readStream(answer).choices[0]?.text)).toEqual(words.map((word) => `answer to ${word}`));
  }
  expect(relay.rows("attempts").filter((row) => row["outcome"] !== "ok")).toEqual([]);
});

test("a response forged on an idle connection is nobody's answer", async () => {
  const script = (request: SeenRequest): { text: string } => ({ text: `answer to ${wordOf(request)}` });
  await start({ a: { simulator: { scenario: { fault: { kind: "extra-bytes", when: "idle" } }, script } } });
  for (let i = 0; i < 8; i++) {
    expect(readStream(await ask(`word-${i}`)).choices[0]?.text).toBe(`answer to word-${i}`);
    // It comes after 50 ms. One at a time: bytes that cross a request on its way are an answer to it by HTTP's own rules.
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  expect(relay.rows("attempts").filter((row) => row["outcome"] !== "ok")).toEqual([]);
});

test("answers of several requests in one packet are not taken for later requests", async () => {
  const good = (word: string): Buffer =>
    chunked([
      Buffer.from(`data: {"choices":[{"index":0,"delta":{"content":"to ${word}"},"finish_reason":"stop"}]}\n\n`),
      Buffer.from("data: [DONE]\n\n"),
    ]);
  raw = await startRawUpstream((request) => {
    const word = /"x_word":"([^"]+)"/.exec(request)?.[1] ?? "";
    return { bytes: Buffer.concat([good(word), good("forged one"), good("forged two")]), end: "keep" };
  });
  await start({ a: { baseUrl: raw.baseUrl } });
  for (const word of ["one", "two", "three", "four"]) expect(readStream(await ask(word)).choices[0]?.text).toBe(`to ${word}`);
});

/** Fills the first upstream with requests whose answers do not begin. */
async function fill(count: number, upstream = "a"): Promise<{ empty(): Promise<void> }> {
  const leaving = new AbortController();
  const left = Array.from({ length: count }, (_, i) => ask(`slow ${i}`, leaving.signal).catch(() => undefined));
  await eventually(() => expect(relay.simulators[upstream]?.counts.openRequests).toBe(count));
  return {
    empty: async () => {
      leaving.abort();
      await Promise.all(left);
    },
  };
}

const slowIfAsked = (request: SeenRequest): { ttftMs: number; text: string } => ({
  ttftMs: wordOf(request).startsWith("slow") ? 60_000 : 0,
  text: "a",
});

test("an upstream with as many calls as it may have is passed over", async () => {
  await start({ a: { inFlightMax: 3, simulator: { script: slowIfAsked } }, b: { simulator: { scenario: { text: "b" } } } });
  const filled = await fill(3);
  for (let i = 0; i < 5; i++) expect(readStream(await ask(`quick ${i}`)).choices[0]?.text).toBe("b");
  expect(relay.simulators["a"]?.counts.requests).toBe(3);
  await filled.empty();
  await eventually(async () =>
    expect(await gauge(relay, "millrace_upstream_in_flight")).toEqual({ '{upstream="a"}': 0, '{upstream="b"}': 0 }),
  );
  expect(readStream(await ask("quick again")).choices[0]?.text).toBe("a");
});

test("when every upstream is full the client hears 503 and when to come back, at once", async () => {
  await start({ a: { inFlightMax: 2, simulator: { script: slowIfAsked } } });
  const filled = await fill(2);
  const times: number[] = [];
  const idleTimes: number[] = [];
  for (let i = 0; i < 10; i++) {
    idleTimes.push(await timed(() => call(relay, { path: "/healthz", method: "GET", body: null })));
    const asked = ask(`quick ${i}`);
    times.push(await timed(() => asked));
    const answer = await asked;
    expect(answer.status).toBe(503);
    expect(errorOf(answer)).toMatchObject({ code: "overloaded", type: "server_error" });
    expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  }
  expect(median(times)).toBeLessThan(50 + 5 * median(idleTimes));
  expect(relay.simulators["a"]?.counts.requests).toBe(2);
  await filled.empty();
});

test("one full, the other failing: the client hears of the failure, and nothing waits", async () => {
  await start({
    a: { inFlightMax: 1, simulator: { script: slowIfAsked } },
    b: { simulator: { scenario: { fault: { kind: "status", status: 500 } } } },
  });
  const filled = await fill(1);
  const answer = await ask("quick");
  expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_failed"]);
  await filled.empty();
});

test("never more calls in flight than allowed, whatever the storm", async () => {
  let most = 0;
  const script = (): { ttftMs: number; text: string } => {
    most = Math.max(most, relay.simulators["a"]?.counts.openRequests ?? 0);
    // Long enough that calls pile up however slowly a busy machine lets them arrive.
    return { ttftMs: 300, text: "a" };
  };
  await start({ a: { inFlightMax: 7, simulator: { script } } });
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(`word ${i}`)));
  const statuses = new Set(answers.map((answer) => answer.status));
  expect([...statuses].toSorted((left, right) => left - right)).toEqual([200, 503]);
  expect(most).toBeLessThanOrEqual(7);
});

test("requests that all fall back at once do not crush the second upstream", async () => {
  let most = 0;
  const script = (): { ttftMs: number; text: string } => {
    most = Math.max(most, relay.simulators["b"]?.counts.openRequests ?? 0);
    return { ttftMs: 300, text: "b" };
  };
  await start({
    a: { timeouts: { firstEventMs: 200 }, simulator: { scenario: { fault: { kind: "hang" } } } },
    b: { inFlightMax: 2, simulator: { script } },
  });
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => ask(`word ${i}`)));
  const whole = answers.filter((answer) => answer.status === 200);
  expect(whole.length).toBeGreaterThanOrEqual(2);
  expect(whole.every((answer) => readStream(answer).choices[0]?.text === "b")).toBe(true);
  for (const answer of answers.filter((each) => each.status !== 200)) expect(errorOf(answer).code).toBe("upstream_timeout");
  expect(most).toBeLessThanOrEqual(2);
});
