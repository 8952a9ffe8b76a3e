import { afterEach, expect, test, vi } from "vitest";
import { HttpSink } from "../../src/edge/http-sink.ts";
import { gzipBomb } from "../../src/simulator/gzip-bomb.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { eventually } from "./guards.ts";

let relay: TestRelay;
afterEach(async () => {
  vi.restoreAllMocks();
  await relay.close();
});

async function start(a: RelaySetup["upstreams"][string], more: Partial<RelaySetup> = {}): Promise<void> {
  relay = await startRelay({ upstreams: { a }, ...more });
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

async function expectLetGo(): Promise<void> {
  await eventually(() => expect(relay.simulators["a"]?.counts.openConnections).toBe(0), 2_000);
}

test("an event of just the limit passes, one byte more is given up", async () => {
  await start({ simulator: { scenario: stream(`${event(MIB)}\n${FINISH}`) } });
  const passed = await call(relay);
  expect(passed).toMatchObject({ status: 200, isWhole: true });
  expect(passed.body.length).toBeGreaterThan(MIB);
  relay.simulators["a"]?.setScenario(stream(`${event(MIB + 1)}\n${FINISH}`));
  const refused = await call(relay);
  expect(refused.status).toBe(502);
  expect(errorOf(refused)).toMatchObject({
    code: "upstream_failed",
    message: expect.stringContaining("larger than 1048576 bytes") as string,
  });
});

test("the limit of an event is each upstream's own", async () => {
  await start({ eventBytesMax: 4_096, simulator: { scenario: stream(`${event(500)}\n${event(5_000)}\n${FINISH}`) } });
  const answer = await call(relay);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(errorOf(answer).code).toBe("upstream_failed");
  expect(answer.body).not.toContain("x".repeat(4_000));
});

test("a line without an end is given up after a mebibyte, and its connection closed", async () => {
  await start({ simulator: { scenario: { fault: { kind: "endless-line" } } } });
  const startedAt = performance.now();
  const answer = await call(relay);
  expect(answer.status).toBe(502);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
  await expectLetGo();
  // What the relay took, and what the sockets of both sides held.
  expect(relay.simulators["a"]?.seen[0]?.bytesWritten).toBeLessThan(16 * MIB);
  await eventually(() => expect(relay.simulators["a"]?.counts.closedByPeer).toBe(1));
});

test("so is one that begins after content, with an error event", async () => {
  const text = `${event(300)}\ndata: {"choices":[{"index":0,"delta":{"content":"${"y".repeat(3 * MIB)}`;
  await start({
    simulator: { scenario: { raw: { headers: { "content-type": "text/event-stream" }, body: Buffer.from(text), end: "fin" } } },
  });
  const answer = await call(relay);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(errorOf(answer).code).toBe("upstream_failed");
  expect(answer.body).not.toContain("yyy");
});

test("a comment without an end, or a flood of events without content, is given up as well", async () => {
  for (const text of [`: ${"z".repeat(2 * MIB)}`, `data: ${CHUNK.replace("%", "")}\n\n`.repeat(10_000)]) {
    await start({ simulator: { scenario: stream(text) } });
    const answer = await call(relay);
    expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_failed"]);
    if (text.startsWith("data")) continue;
    await relay.close();
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
      await start({ simulator: { scenario: { raw: { status, headers: { "content-type": type }, body, end: "clean" } } } });
      const startedAt = performance.now();
      const answer = await call(relay);
      expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_failed"]);
      expect(performance.now() - startedAt).toBeLessThan(7_000);
      await expectLetGo();
      if (body !== bodies[1] || status === 500) await relay.close();
    }
  }
});

test("a stream that never ends is ended by the total limit, as an error, and its connection closed", async () => {
  await start({ timeouts: { totalMs: 700 }, simulator: { scenario: { ratePerSecond: 200, fault: { kind: "endless-stream" } } } });
  const startedAt = performance.now();
  const answer = await call(relay);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(errorOf(answer)).toMatchObject({ code: "upstream_timeout", message: expect.stringContaining("took longer than 0.7 s") as string });
  await expectLetGo();
});

test("a plain answer that never ends is cut at its own limit, and its connection closed", async () => {
  await start({ simulator: { scenario: { fault: { kind: "endless-line" } } } }, { sizes: { answerBytesMax: 4 * MIB } });
  const answer = await call(relay, { body: { model: "m", messages: MESSAGES } });
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(answer.body.length).toBeLessThanOrEqual(4 * MIB);
  expect(await relay.row()).toMatchObject({ end_reason: "upstream_failed" });
  await expectLetGo();
});

test("twenty thousand chunks of one byte make a whole answer in far fewer writes", async () => {
  await start({ simulator: { scenario: { fault: { kind: "tiny-chunks" } } } });
  const writes = vi.spyOn(HttpSink.prototype, "write");
  const answer = await call(relay);
  expect(readStream(answer).outcome).toBe("complete");
  expect(relay.simulators["a"]?.seen[0]?.bytesWritten).toBeGreaterThan(20_000);
  expect(writes.mock.calls.length).toBeLessThan(1_000);
  const plain = await call(relay, { body: { model: "m", messages: MESSAGES } });
  expect(plain).toMatchObject({ status: 200, isWhole: true });
  expect(JSON.parse(plain.body)).toMatchObject({ object: "chat.completion" });
});

test("a bomb is refused by its header, whatever the compression is called", async () => {
  const bomb = await gzipBomb(100_000_000);
  for (const encoding of ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "unheard-of"]) {
    for (const stream of [true, false]) {
      const headers = { "content-type": stream ? "text/event-stream" : "application/json", "content-encoding": encoding };
      await start({ simulator: { scenario: { raw: { headers, body: bomb, end: "clean" } } } });
      const before = process.memoryUsage().rss;
      const answer = await call(relay, { body: { model: "m", stream, messages: MESSAGES } });
      expect([encoding, answer.status, errorOf(answer).code]).toEqual([encoding, 502, "upstream_failed"]);
      expect(errorOf(answer).message).toContain("compressed");
      expect(process.memoryUsage().rss - before).toBeLessThan(80_000_000);
      if (encoding !== "unheard-of" || stream) await relay.close();
    }
  }
});

test("a compressed error body is not read for words either", async () => {
  const bomb = await gzipBomb(100_000_000);
  const headers = { "content-type": "application/json", "content-encoding": "gzip" };
  await start({ simulator: { scenario: { raw: { status: 400, headers, body: bomb, end: "clean" } } } });
  const answer = await call(relay);
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).toBe("the upstream gave no message");
});
