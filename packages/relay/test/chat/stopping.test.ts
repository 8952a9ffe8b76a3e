import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { chatRequest, listenRaw, until } from "../simulator/raw-client.ts";
import { call, errorOf, readStream } from "../support/call.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";

let simulator: Simulator;
let relay: RelayProcess;

afterEach(async () => {
  await relay.close();
  await simulator.close();
});

async function start(shutdown: object, seconds: number): Promise<void> {
  simulator = await startSimulator({ scenario: { events: seconds * 50, ratePerSecond: 50 } });
  relay = await startRelayProcess({
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: { upstreams: [{ upstream: "a", model: "m" }] } },
    shutdown,
  });
}

const READYZ = { path: "/readyz", method: "GET", body: null };

/** The status of readiness, or why there is no answer. */
function readiness(): Promise<number | string> {
  return call(relay, READYZ).then(
    ({ status }) => status,
    (error: NodeJS.ErrnoException) => error.code ?? "",
  );
}

/** Waits until the relay takes no connection any more. */
async function untilDeaf(): Promise<void> {
  await expect.poll(readiness, { timeout: 5_000, interval: 10 }).toBe("ECONNREFUSED");
}

/** A stream under way: resolves when its first bytes are there, with its answer to come. */
async function openStream(): Promise<{ answer: ReturnType<typeof call> }> {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const answer = call(relay, { onBytes: () => resolve() });
  await begun;
  return { answer };
}

test("SIGTERM lets running streams end, refuses new connections, and exits with 0", async () => {
  await start({ delay: "0s", drain: "10s" }, 2);
  const streams = Array.from({ length: 10 }, () => call(relay));
  await until(() => simulator.counts.openRequests === 10);
  relay.child.kill("SIGTERM");
  await untilDeaf();
  for (const answer of await Promise.all(streams)) expect(readStream(answer).outcome).toBe("complete");
  expect(await relay.exited).toBe(0);
});

test("during the balancer's delay readiness is off and requests are still answered", async () => {
  await start({ delay: "2s", drain: "5s" }, 0.2);
  relay.child.kill("SIGTERM");
  await expect.poll(readiness, { timeout: 2_000, interval: 10 }).toBe(503);
  const ready = await call(relay, READYZ);
  expect([ready.status, ready.headers.connection]).toEqual([503, "close"]);
  expect((await call(relay, { path: "/healthz", method: "GET", body: null })).status).toBe(200);
  expect(readStream(await call(relay)).outcome).toBe("complete");
  expect(await relay.exited).toBe(0);
});

test("a stream longer than the drain ends in an error event, its row is kept, and the exit is in time", async () => {
  await start({ delay: "0s", drain: "500ms" }, 60);
  const stream = await openStream();
  const startedAt = performance.now();
  relay.child.kill("SIGTERM");
  const answer = await stream.answer;
  expect(answer.isWhole).toBe(false);
  expect(errorOf(answer).code).toBe("relay_stopped");
  expect(await relay.exited).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  expect(relay.rows()).toMatchObject([{ end_reason: "relay_stopped", error_code: "relay_stopped" }]);
});

test("a second signal ends the drain at once", async () => {
  await start({ delay: "0s", drain: "60s" }, 60);
  const stream = await openStream();
  relay.child.kill("SIGTERM");
  await untilDeaf();
  const startedAt = performance.now();
  relay.child.kill("SIGTERM");
  expect(errorOf(await stream.answer).code).toBe("relay_stopped");
  expect(await relay.exited).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
});

test("a request that is being sent when SIGTERM comes is still answered", async () => {
  await start({ delay: "0s", drain: "10s" }, 0.2);
  const body = JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "late" }] });
  const socket = connect(relay.port, "127.0.0.1");
  const sight = listenRaw(socket, 5_000);
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${relay.key}\r\nContent-Type: application/json\r\n`);
  // The relay says so when it has the head and reads the body.
  const isRead = once(socket, "data");
  socket.write(`Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`);
  await isRead;
  relay.child.kill("SIGTERM");
  await untilDeaf();
  socket.write(body.slice(20));
  expect((await sight).text).toContain("data: [DONE]");
  expect(await relay.exited).toBe(0);
});

test("an answer that a slow reader has not taken yet is not cut by the end of the process", { timeout: 30_000 }, async () => {
  await start({ delay: "0s", drain: "20s" }, 0.2);
  simulator.setScenario({ text: "x".repeat(8 * 1024 * 1024), chunking: "whole" });
  const socket = connect(relay.port, "127.0.0.1");
  socket.write(chatRequest({ stream: false }, { authorization: `Bearer ${relay.key}` }));
  // The answer has begun, and nobody reads on.
  await once(socket, "readable");
  relay.child.kill("SIGTERM");
  await untilDeaf();
  // Time enough for a process that would not wait for the reader to be gone.
  await new Promise((resolve) => setTimeout(resolve, 800));
  const taken = listenRaw(socket, 15_000);
  socket.resume();
  const sight = await taken;
  expect([sight.end, sight.text.slice(-7)]).toEqual(["fin", "\r\n0\r\n\r\n"]);
  expect(await relay.exited).toBe(0);
});
