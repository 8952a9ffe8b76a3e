import { connect } from "node:net";
import type { Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { chatRequest, until } from "../simulator/raw-client.ts";
import { call, readStream } from "../support/call.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { timed } from "../support/timed.ts";

let simulator: Simulator;
let relay: RelayProcess;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await relay.close();
  await simulator.close();
});

const MIB = 1024 * 1024;
const READERS = 200;

test(
  "200 sockets that never read an endless stream slow their upstreams, cost bounded memory and lock nobody out of a relay with default bounds",
  { timeout: 300_000 },
  async () => {
    simulator = await startSimulator({
      script: (request) =>
        request.bodyText.includes('"slow"') ? { fault: { kind: "endless-stream" }, eventBytes: 2_000 } : { text: "quick" },
    });
    relay = await startRelayProcess({
      upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
      models: { m: { upstreams: [{ upstream: "a", model: "m" }] } },
    });
    await call(relay);
    const before = relay.rss();
    for (let i = 0; i < READERS; i++) {
      const socket = connect(relay.port, "127.0.0.1");
      socket.pause();
      socket.on("error", () => undefined);
      socket.write(chatRequest({ stream: true, user: "slow" }, { authorization: `Bearer ${relay.key}` }));
      sockets.push(socket);
    }
    await until(() => simulator.counts.openRequests === READERS, 90_000);
    const written = (): number => simulator.seen.reduce((sum, request) => sum + request.bytesWritten, 0);
    // First the kernel's buffers fill, megabytes a socket; when nothing more is written, the slowness has reached the upstreams.
    await settled(written);
    expect(relay.rss() - before).toBeLessThan(64 * MIB + READERS * 0.5 * MIB);

    const directMs = await timed(() => call({ port: simulator.port, key: "" }));
    const quick = call(relay);
    const tookMs = await timed(() => quick);
    expect(readStream(await quick).choices[0]?.text).toBe("quick");
    expect(tookMs).toBeLessThan(500 + 10 * directMs);

    for (const socket of sockets.splice(0)) socket.destroy();
    await until(() => simulator.counts.openRequests === 0, 30_000);
    await until(() => relay.rows().filter((row) => row["end_reason"] === "client_gone").length === READERS, 30_000);
  },
);

/** Waits until a count has not moved for a second; fails after 90 s. */
async function settled(count: () => number): Promise<void> {
  const deadline = performance.now() + 90_000;
  for (let last = -1, stillSince = performance.now(); performance.now() - stillSince < 1_000;) {
    if (performance.now() > deadline) throw new Error("the upstreams were written to for 90 s");
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (count() === last) continue;
    last = count();
    stillSince = performance.now();
  }
}
