import { connect } from "node:net";
import { expect, test } from "vitest";
import { bodyOf, chatRequest, listenRaw } from "../simulator/raw-client.ts";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import { freePort } from "../support/free-port.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import { connectingTo, startSilentPort } from "../support/silent-port.ts";
import { relayForTest } from "../support/start-relay.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";

test("one event of thousands of tool calls holds nobody up", async () => {
  const calls = Array.from({ length: 10_000 }, (_, i) => ({ id: `call_${i}`, type: "function", function: { name: "f", arguments: "" } }));
  const event = {
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta: { tool_calls: calls }, finish_reason: null }],
  };
  const body = Buffer.from(`data: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`);
  const relay = await relayForTest({
    upstreams: { a: { simulator: { scenario: { raw: { headers: { "content-type": "text/event-stream" }, body, end: "clean" } } } } },
  });
  const startedAt = performance.now();
  const answer = await call(relay);
  expect(errorOf(answer).message).toContain("an event of too many parts");
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test("a request body in single bytes costs memory by its size, not by its pieces", { timeout: 60_000 }, async () => {
  const simulator = await startSimulator({ scenario: { text: "ok" } });
  const child = await startRelayProcess({
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: { upstreams: [{ upstream: "a", model: "m" }] } },
  });
  try {
    await call(child);
    const before = child.rss();
    const json = JSON.stringify({ model: "m", messages: [{ role: "user", content: "x".repeat(1_000_000) }] });
    const socket = connect(child.port, "127.0.0.1");
    const sight = listenRaw(socket, 50_000);
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer ${child.key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const bytes = `${Array.from(json, (byte) => `1\r\n${byte}\r\n`).join("")}0\r\n\r\n`;
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, child.rss() - before)), 20);
    socket.write(bytes);
    expect((await sight).text).toContain(" 200 OK");
    clearInterval(watch);
    expect(most).toBeLessThan(160 * 1024 * 1024);
  } finally {
    await child.close();
    await simulator.close();
  }
});

test("a plain answer in single bytes passes whole", { timeout: 30_000 }, async () => {
  const relay = await relayForTest({
    upstreams: { a: { simulator: { scenario: { text: "y".repeat(200_000), chunking: "whole", fault: { kind: "tiny-chunks" } } } } },
  });
  const answer = await call(relay, { body: { model: "m", messages: MESSAGES } });
  expect([answer.status, answer.isWhole]).toEqual([200, true]);
  const { choices } = JSON.parse(answer.body) as { choices: { message: { content: string } }[] };
  expect(choices[0]?.message.content.length).toBeGreaterThan(10_000);
});

test(
  "a pooled connection that turns out dead is replaced under the connect clock, and the next upstream answers",
  { timeout: 20_000 },
  async () => {
    const port = await freePort();
    const first = await startSimulator({ port, scenario: { text: "from a", fault: { kind: "close-idle", when: "reuse" } } });
    const relay = await relayForTest({
      upstreams: { a: { baseUrl: first.url, timeouts: { connectMs: 500 } }, b: { simulator: { scenario: { text: "from b" } } } },
    });
    expect((await call(relay, { body: { model: "m", messages: MESSAGES } })).headers["x-millrace-upstream"]).toBe("a");
    await first.close();
    const blackhole = await startSilentPort(port);
    try {
      const startedAt = performance.now();
      const answer = await call(relay, { body: { model: "m", messages: MESSAGES } });
      expect(answer.headers["x-millrace-upstream"]).toBe("b");
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      expect(connectingTo(port)).toBe(blackhole.waiting);
    } finally {
      blackhole.close();
    }
  },
);

test("an answer that breaks while it waits behind another one on its connection is told to its client", async () => {
  let count = 0;
  const relay = await relayForTest({
    upstreams: {
      a: {
        simulator: {
          script: () => (count++ === 0 ? { text: "first", ttftMs: 600 } : { events: 20, fault: { kind: "cut", bytes: 1_500 } }),
        },
      },
    },
  });
  const socket = connect(relay.port, "127.0.0.1");
  const sight = listenRaw(socket, 4_000);
  const request = chatRequest({ stream: true }, { authorization: `Bearer ${relay.key}` });
  socket.write(request);
  await new Promise((resolve) => setTimeout(resolve, 100));
  socket.write(request);
  const seen = await sight;
  expect(seen.end).toBe("fin");
  const second = seen.text.slice(seen.text.lastIndexOf("HTTP/1.1 200"));
  expect(second).toContain('"code":"upstream_truncated"');
  expect(bodyOf({ ...seen, text: second }).isTerminated).toBe(false);
});
