import { createHook } from "node:async_hooks";
import { createGunzip } from "node:zlib";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { HttpSink } from "../../src/edge/http-sink.ts";
import { gzipBomb } from "../../src/simulator/gzip-bomb.ts";
import type { Scenario } from "../../src/simulator/scenario.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { relayForTest, startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { eventually } from "./guards.ts";

/** With a simulator as its upstream `a`; what the simulator answers is set by each test. */
let shared: TestRelay;
beforeAll(async () => {
  shared = await startRelay({ upstreams: { a: {} } });
});
afterAll(() => shared.close());

function simulatorOf(relay: TestRelay): Simulator {
  const simulator = relay.simulators["a"];
  if (simulator === undefined) throw new Error("no simulator");
  return simulator;
}

/** The shared relay, whose upstream answers like this from now on. */
function relayWith(scenario: Partial<Scenario>): TestRelay {
  simulatorOf(shared).setScenario(scenario);
  return shared;
}

const MIB = 1024 * 1024;
const CHUNK =
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%"},"finish_reason":null}]}';
const FINISH = 'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

function event(bytes: number): string {
  return `data: ${CHUNK.replace("%", "x".repeat(bytes - CHUNK.length - 6))}\n`;
}

function stream(text: string): { raw: { headers: Record<string, string>; body: Buffer; end: "clean" } } {
  return { raw: { headers: { "content-type": "text/event-stream" }, body: Buffer.from(text), end: "clean" } };
}

async function expectLetGo(relay: TestRelay): Promise<void> {
  await eventually(() => expect(simulatorOf(relay).counts.openConnections).toBe(0), 2_000);
}

test("an event of just the limit passes, one byte more is given up", async () => {
  const relay = relayWith(stream(`${event(MIB)}\n${FINISH}`));
  const passed = await call(relay);
  expect(passed).toMatchObject({ status: 200, isWhole: true });
  expect(passed.body.length).toBeGreaterThan(MIB);
  relayWith(stream(`${event(MIB + 1)}\n${FINISH}`));
  const refused = await call(relay);
  expect(refused.status).toBe(502);
  expect(errorOf(refused)).toMatchObject({
    code: "upstream_failed",
    message: expect.stringContaining("larger than 1048576 bytes") as string,
  });
});

test("the limit of an event is each upstream's own", async () => {
  const scenario = stream(`${event(500)}\n${event(5_000)}\n${FINISH}`);
  const relay = await relayForTest({ upstreams: { a: { eventBytesMax: 4_096, simulator: { scenario } } } });
  const answer = await call(relay);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(errorOf(answer).code).toBe("upstream_failed");
  expect(answer.body).not.toContain("x".repeat(4_000));
});

test("a line without an end is given up after a mebibyte, and its connection closed", async () => {
  const relay = relayWith({ fault: { kind: "endless-line" } });
  const before = simulatorOf(relay).counts.closedByPeer;
  const startedAt = performance.now();
  const answer = await call(relay);
  expect(answer.status).toBe(502);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
  await expectLetGo(relay);
  // What the relay took, and what the sockets of both sides held.
  expect(simulatorOf(relay).seen.at(-1)?.bytesWritten).toBeLessThan(16 * MIB);
  await eventually(() => expect(simulatorOf(relay).counts.closedByPeer).toBe(before + 1));
});

test("so is one that begins after content, with an error event", async () => {
  const text = `${event(300)}\ndata: {"choices":[{"index":0,"delta":{"content":"${"y".repeat(3 * MIB)}`;
  const relay = relayWith({ raw: { headers: { "content-type": "text/event-stream" }, body: Buffer.from(text), end: "fin" } });
  const answer = await call(relay);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(errorOf(answer).code).toBe("upstream_failed");
  expect(answer.body).not.toContain("yyy");
});

test("a comment without an end, or a flood of events without content, is given up as well", async () => {
  for (const text of [`: ${"z".repeat(2 * MIB)}`, `data: ${CHUNK.replace("%", "")}\n\n`.repeat(10_000)]) {
    const answer = await call(relayWith(stream(text)));
    expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_failed"]);
  }
});

test("the words of an error are read within bounds: a body without an end, or without a next byte, holds nobody up", async () => {
  const bodies = [
    Buffer.alloc(8 * MIB, "w"),
    [
      { bytes: Buffer.from("half an"), afterMs: 0 },
      { bytes: Buffer.from(" error"), afterMs: 60_000 },
    ],
  ];
  for (const body of bodies) {
    for (const [status, type] of [
      [500, "application/json"],
      [200, "text/html"],
    ] as const) {
      const relay = relayWith({ raw: { status, headers: { "content-type": type }, body, end: "clean" } });
      const startedAt = performance.now();
      const answer = await call(relay);
      expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_failed"]);
      expect(performance.now() - startedAt).toBeLessThan(7_000);
      await expectLetGo(relay);
    }
  }
});

test("a stream that never ends is ended by the total limit, as an error, and its connection closed", async () => {
  const scenario = { ratePerSecond: 200, fault: { kind: "endless-stream" } } as const;
  const relay = await relayForTest({ upstreams: { a: { timeouts: { totalMs: 700 }, simulator: { scenario } } } });
  const startedAt = performance.now();
  const answer = await call(relay);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(errorOf(answer)).toMatchObject({ code: "upstream_timeout", message: expect.stringContaining("took longer than 0.7 s") as string });
  await expectLetGo(relay);
});

test("a plain answer that never ends is cut at its own limit, and its connection closed", async () => {
  const a = { simulator: { scenario: { fault: { kind: "endless-line" } } } } as const;
  const relay = await relayForTest({ upstreams: { a }, sizes: { answerBytesMax: 4 * MIB } });
  const answer = await call(relay, { body: { model: "m", messages: MESSAGES } });
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(answer.body.length).toBeLessThanOrEqual(4 * MIB);
  expect(await relay.row()).toMatchObject({ end_reason: "upstream_failed" });
  await expectLetGo(relay);
});

test("twenty thousand chunks of one byte make a whole answer in far fewer writes", async () => {
  const relay = relayWith({ fault: { kind: "tiny-chunks" } });
  const writes = vi.spyOn(HttpSink.prototype, "write");
  onTestFinished(() => writes.mockRestore());
  const answer = await call(relay);
  expect(readStream(answer).outcome).toBe("complete");
  expect(simulatorOf(relay).seen.at(-1)?.bytesWritten).toBeGreaterThan(20_000);
  expect(writes.mock.calls.length).toBeLessThan(1_000);
  const plain = await call(relay, { body: { model: "m", messages: MESSAGES } });
  expect(plain).toMatchObject({ status: 200, isWhole: true });
  expect(JSON.parse(plain.body)).toMatchObject({ object: "chat.completion" });
});

/** Counts what this process makes to inflate or deflate with, from here to the end of the test. */
function countInflaters(): () => number {
  let count = 0;
  const hook = createHook({ init: (_id, type) => void (count += type === "ZLIB" ? 1 : 0) }).enable();
  onTestFinished(() => void hook.disable());
  return () => count;
}

test("a bomb is refused by its header, whatever the compression is called, and none of it is inflated", async () => {
  const bomb = await gzipBomb(100_000_000);
  const inflaters = countInflaters();
  for (const encoding of ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "unheard-of"]) {
    for (const stream of [true, false]) {
      const headers = { "content-type": stream ? "text/event-stream" : "application/json", "content-encoding": encoding };
      const relay = relayWith({ raw: { headers, body: bomb, end: "clean" } });
      const answer = await call(relay, { body: { model: "m", stream, messages: MESSAGES } });
      expect([encoding, answer.status, errorOf(answer).code]).toEqual([encoding, 502, "upstream_failed"]);
      expect(errorOf(answer).message).toContain("compressed");
    }
  }
  expect(inflaters()).toBe(0);
  createGunzip().close();
  expect(inflaters()).toBe(1);
});

test("a compressed error body is not read for words either", async () => {
  const bomb = await gzipBomb(100_000_000);
  const headers = { "content-type": "application/json", "content-encoding": "gzip" };
  const answer = await call(relayWith({ raw: { status: 400, headers, body: bomb, end: "clean" } }));
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).toBe("the upstream gave no message");
});
