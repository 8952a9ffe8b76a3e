import { connect } from "node:net";

import { expect, test } from "vitest";

import type { RawAnswer } from "../../src/simulator/scenario.ts";
import { chatRequest, exchangeRaw, listenRaw, until } from "./raw-client.ts";
import { chat, dataOf, simulated } from "./simulated.ts";

const STREAM = chatRequest({ stream: true });

async function elapsed(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await act();
  return performance.now() - started;
}

test("the first event waits and the rest keep the rate", async () => {
  const simulator = await simulated({ scenario: { ttftMs: 60, ratePerSecond: 100, events: 11 } });
  const ms = await elapsed(() => chat(simulator, { stream: true }));
  expect(ms).toBeGreaterThan(155);
  expect(ms).toBeLessThan(3000);
  expect(await elapsed(() => chat(simulator))).toBeGreaterThan(55);
});

test("keep-alive comments fill the wait before the first event and between slow ones", async () => {
  const keepAlive = { text: ": ka", everyMs: 20, blankLine: false };
  const simulator = await simulated({
    scenario: { ttftMs: 70, ratePerSecond: 20, events: 2, keepAlive },
  });
  const { text } = await chat(simulator, { stream: true });
  expect(text).toMatch(/^(: ka\n){3}data: /);
  expect(text.match(/: ka\n/g)).toHaveLength(5);
});

test("a gap is silent before the event it names, or holds comments", async () => {
  const simulator = await simulated({
    scenario: { text: "a b c", gapBefore: { event: 2, ms: 500 } },
  });
  const sight = await exchangeRaw(simulator.port, STREAM, 250);
  expect(sight.text.match(/data: /g)).toHaveLength(2);
  expect(await elapsed(() => chat(simulator, { stream: true }))).toBeGreaterThan(495);
  const comments = { text: ":", everyMs: 30, blankLine: true };
  simulator.setScenario({ text: "a b c", gapBefore: { event: 2, ms: 80, comments } });
  const { text } = await chat(simulator, { stream: true });
  expect(text.match(/\n\n:\n\n:\n\ndata: /g)).toHaveLength(1);
  expect(dataOf(text)).toHaveLength(6);
});

test("headers leave at once, or with the first event", async () => {
  const simulator = await simulated({ scenario: { ttftMs: 2000 } });
  expect((await exchangeRaw(simulator.port, STREAM, 200)).text).toMatch(/^HTTP\/1\.1 200 OK[^]*\r\n\r\n$/);
  simulator.setScenario({ ttftMs: 2000, earlyHeaders: false });
  expect((await exchangeRaw(simulator.port, STREAM, 200)).text).toBe("");
});

test("a queued plain answer begins with blank lines and is still JSON", async () => {
  const simulator = await simulated({
    scenario: { ttftMs: 50, queueBlankLines: { count: 3, everyMs: 10 } },
  });
  const { text } = await chat(simulator);
  expect(text).toMatch(/^\n\n\n{/);
  expect(JSON.parse(text)).toMatchObject({ object: "chat.completion" });
});

test("one byte a write arrives whole", async () => {
  const simulator = await simulated({ scenario: { text: "héllo", oneBytePerWrite: true } });
  const { text } = await chat(simulator, { stream: true });
  expect(text).toContain("héllo");
  expect(dataOf(text).at(-1)).toBe("[DONE]");
});

test("a client that leaves is noticed at once, in every kind of wait", async () => {
  const simulator = await simulated();
  const scenarios = [
    { ttftMs: 60_000 },
    { ratePerSecond: 0.1, events: 5 },
    { fault: { kind: "hang" } },
    { fault: { kind: "stall", events: 1 } },
    { fault: { kind: "endless-stream" } },
    { ratePerSecond: 50, fault: { kind: "endless-stream" } },
  ] as const;
  for (const scenario of scenarios) {
    simulator.setScenario(scenario);
    const socket = connect(simulator.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(STREAM);
    await until(() => simulator.counts.openRequests === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const left = performance.now();
    socket.destroy();
    await until(() => simulator.counts.openRequests === 0);
    const seen = simulator.seen.at(-1);
    expect(seen?.finishedAt).toBeNull();
    expect(seen?.closedByPeerAt).toBeGreaterThanOrEqual(left - 1);
    expect((seen?.closedByPeerAt ?? 0) - left).toBeLessThan(1000);
  }
  expect(simulator.counts).toMatchObject({ closedByPeer: scenarios.length, finished: 0 });
  await until(() => simulator.counts.openConnections === 0);
});

test("a client that closes after the whole answer has closed nothing early", async () => {
  const simulator = await simulated();
  await exchangeRaw(simulator.port, STREAM, 200);
  await until(() => simulator.counts.openConnections === 0);
  expect(simulator.seen[0]).toMatchObject({ closedByPeerAt: null, finishedAt: expect.any(Number) });
});

test("a client that does not read stops the producer", async () => {
  const simulator = await simulated({ scenario: { fault: { kind: "endless-stream" } } });
  const socket = connect(simulator.port, "127.0.0.1");
  socket.pause();
  socket.write(STREAM);
  await until(() => (simulator.seen[0]?.bytesWritten ?? 0) > 0);
  const settle = async (): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, 400));
    return simulator.seen[0]?.bytesWritten ?? 0;
  };
  const written = await settle();
  expect(await settle()).toBe(written);
  expect(written).toBeLessThan(32_000_000);
  socket.resume();
  const sight = await listenRaw(socket, 300);
  expect(sight.bytes.length).toBeGreaterThan(written);
  await until(() => simulator.counts.openRequests === 0);
});

test("closing the simulator ends every wait and blames nobody", async () => {
  const simulator = await simulated({ scenario: { fault: { kind: "hang" } } });
  const sight = exchangeRaw(simulator.port, STREAM, 3000);
  await until(() => simulator.counts.openRequests === 1);
  await simulator.close();
  expect((await sight).text).toBe("");
  expect(simulator.seen[0]).toMatchObject({ closedByPeerAt: null, finishedAt: null });
});

test("raw bytes go out cut at any place, in pieces, and end as asked", async () => {
  const body = Buffer.from('data: {"é":1}\n\ndata: [DONE]\n\n');
  const simulator = await simulated();
  const sight = async (raw: RawAnswer): Promise<{ readonly text: string; readonly end: string }> => {
    simulator.setScenario({ raw });
    return exchangeRaw(simulator.port, STREAM, 300);
  };
  for (let at = 0; at <= body.length; at += 5) {
    for (const end of ["fin", "rst"] as const) {
      const seen = await sight({ body: body.subarray(0, at), end });
      expect(seen.end).toBe(end);
      expect(seen.text.endsWith("0\r\n\r\n")).toBe(false);
      if (at > 0) expect(seen.text).toContain(`\r\n\r\n${at.toString(16)}\r\n${body.toString("latin1", 0, at)}`);
    }
  }
  const clean = await sight({ body, end: "clean", status: 418, headers: { "x-a": "b" } });
  expect(clean.text).toMatch(/^HTTP\/1\.1 418 [^]*x-a: b\r\n[^]*0\r\n\r\n$/);
  const pieces = [...body].map((byte) => ({ bytes: Uint8Array.of(byte), afterMs: 0 }));
  expect((await sight({ body: pieces, end: "clean" })).text.match(/\r\n1\r\n/g)?.length).toBeGreaterThan(20);
  const fixed = await sight({ body, end: "fin", headers: { "content-length": "500" } });
  expect(fixed.text).toContain("content-length: 500");
});

test("two hundred streams at once each get their own whole answer", async () => {
  const simulator = await simulated({ scenario: { ttftMs: 5, ratePerSecond: 200, events: 20 } });
  const replies = await Promise.all(Array.from({ length: 200 }, (_, user) => chat(simulator, { stream: true, user: String(user) })));
  expect(replies.every((reply) => dataOf(reply.text).length === 23)).toBe(true);
  expect(new Set(replies.map((reply) => reply.text)).size).toBe(200);
  expect(simulator.counts).toMatchObject({ finished: 200, openRequests: 0 });
});
