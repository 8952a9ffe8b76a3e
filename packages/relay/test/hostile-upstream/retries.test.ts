import { afterEach, expect, test } from "vitest";
import type { Fault } from "../../src/simulator/fault.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { freePort } from "../support/free-port.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { eventually } from "./guards.ts";
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

const GOOD = chunked([
  Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"good"},"finish_reason":"stop"}]}\n\n'),
  Buffer.from("data: [DONE]\n\n"),
]);
const SICK = { simulator: { scenario: { fault: { kind: "status", status: 503 } } } } as const;

test("a request is tried three times at most, however many upstreams there are", async () => {
  await start({ a: SICK, b: SICK, c: SICK, d: SICK });
  expect(await call(relay)).toMatchObject({ status: 502 });
  await relay.row();
  expect(relay.rows("attempts")).toMatchObject([{ upstream: "a" }, { upstream: "b" }, { upstream: "c" }]);
  expect(Object.values(relay.simulators).map((each) => each.seen.length)).toEqual([1, 1, 1, 0]);
});

test("a body that was sent is never sent again to the same upstream, however it failed", async () => {
  const faults: Fault[] = [
    { kind: "status", status: 500 },
    { kind: "status", status: 503 },
    { kind: "status", status: 408 },
    { kind: "hang" },
    { kind: "cut", bytes: 0 },
    { kind: "rst", bytes: 0 },
    { kind: "refuse" },
    { kind: "garbage" },
    { kind: "blank" },
    { kind: "error-first" },
  ];
  await start({ a: { timeouts: { firstEventMs: 200, totalMs: 400 } } });
  for (const [at, fault] of faults.entries()) {
    relay.simulators["a"]?.setScenario({ fault });
    for (const stream of [true, false]) {
      expect((await call(relay, { body: { model: "m", stream, messages: MESSAGES } })).status).toBeGreaterThanOrEqual(500);
    }
    expect([fault.kind, relay.simulators["a"]?.counts.requests]).toEqual([fault.kind, 2 * (at + 1)]);
  }
});

test("a pooled connection that dies before any byte is replaced once, and nobody notices", async () => {
  await start({ a: { simulator: { scenario: { text: "fine", fault: { kind: "close-idle", when: "reuse" } } } }, b: {} });
  for (let i = 0; i < 3; i++) expect(readStream(await call(relay))).toMatchObject({ outcome: "complete", choices: [{ text: "fine" }] });
  await relay.row(3);
  expect(relay.rows("attempts")).toMatchObject([
    { n: 1, upstream: "a", outcome: "ok" },
    { n: 1, upstream: "a", outcome: "ok" },
    { n: 1, upstream: "a", outcome: "ok" },
  ]);
  expect(relay.simulators["a"]?.seen.map((seen) => seen.fault)).toEqual(["close-idle", "refuse", "close-idle", "refuse", "close-idle"]);
});

test("many pooled connections that all died at once are each replaced once", async () => {
  await start({ a: { simulator: { scenario: { text: "fine", ttftMs: 50, fault: { kind: "close-idle", when: "reuse" } } } } });
  const round = (): Promise<unknown> =>
    Promise.all(
      Array.from({ length: 40 }, async () => {
        expect(readStream(await call(relay))).toMatchObject({ outcome: "complete" });
      }),
    );
  await round();
  await round();
  await relay.row(80);
  expect(relay.rows("attempts").filter((row) => row["outcome"] !== "ok" || row["n"] !== 1)).toEqual([]);
});

test("the replacement is not replaced: a second death is a failure", async () => {
  let given = 0;
  raw = await startRawUpstream(() => (given++ === 0 ? { bytes: GOOD, end: "keep" } : { bytes: Buffer.alloc(0), end: "rst" }));
  await start({ a: { baseUrl: raw.baseUrl } });
  expect(readStream(await call(relay)).outcome).toBe("complete");
  expect(await call(relay)).toMatchObject({ status: 502 });
  expect(raw.requests()).toBe(3);
  expect(await call(relay)).toMatchObject({ status: 502 });
  expect(raw.requests()).toBe(4);
});

test("a pooled connection that dies after its first byte is not replaced", async () => {
  raw = await startRawUpstream((_, number) =>
    number === 1 ? { bytes: GOOD, end: "keep" } : { bytes: Buffer.from("HTTP/1.1 200 OK\r\nContent-"), end: "rst" },
  );
  await start({ a: { baseUrl: raw.baseUrl } });
  await call(relay);
  expect(await call(relay)).toMatchObject({ status: 502 });
  expect(raw.requests()).toBe(2);
});

test("connections that the upstream closes after each answer cost nothing", async () => {
  await start({ a: { simulator: { scenario: { text: "fine", fault: { kind: "close-idle", when: "after" } } } } });
  for (let i = 0; i < 20; i++) expect(readStream(await call(relay)).outcome).toBe("complete");
  expect(relay.simulators["a"]?.counts.requests).toBe(20);
});

test("a dead sole upstream is tried again within the budget only: 1,000 requests, a tenth more and ten", async () => {
  const port = await freePort();
  await start({ a: { baseUrl: `http://127.0.0.1:${port}/v1` } });
  const startedAt = performance.now();
  let left = 1_000;
  const worker = async (): Promise<void> => {
    while (left-- > 0) expect((await call(relay)).status).toBe(502);
  };
  await Promise.all(Array.from({ length: 50 }, worker));
  const seconds = (performance.now() - startedAt) / 1000;
  await eventually(() => expect(relay.rows("requests").length).toBe(1_000));
  const attempts = relay.rows("attempts");
  expect(attempts.length).toBeGreaterThan(1_050);
  expect(attempts.length).toBeLessThanOrEqual(1_100 + 10 + Math.ceil(seconds));
  expect(Math.max(...attempts.map((row) => Number(row["n"])))).toBeLessThanOrEqual(3);
});

test("falling back draws nothing from the retry budget and never tries a dead one again", async () => {
  const port = await freePort();
  await start({ a: { baseUrl: `http://127.0.0.1:${port}/v1` }, b: { simulator: { scenario: { text: "b" } } } });
  for (let i = 0; i < 60; i++) expect(readStream(await call(relay)).choices[0]?.text).toBe("b");
  await relay.row(60);
  expect(relay.rows("attempts").map((row) => `${row["n"]}${row["upstream"]}`)).toEqual(
    Array.from({ length: 60 }, () => ["1a", "2b"]).flat(),
  );
});

test("an upstream that resets every connection at accept is an error, three tries at most", async () => {
  await start({ a: { simulator: { faults: [{ fault: { kind: "refuse" }, share: 1 }] } } });
  const answer = await call(relay);
  expect(answer.status).toBe(502);
  expect(errorOf(answer).code).toBe("upstream_failed");
  expect(relay.simulators["a"]?.counts.connections).toBeLessThanOrEqual(3);
});

test("nothing is tried after the client has left", async () => {
  const port = await freePort();
  await start({ a: { baseUrl: `http://127.0.0.1:${port}/v1` } });
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(), 20);
  await expect(call(relay, { signal: leaving.signal })).rejects.toThrow("aborted");
  expect(await relay.row()).toMatchObject({ end_reason: "client_gone", status: 499, basis: "none" });
  expect(relay.rows("attempts").length).toBe(1);
});
