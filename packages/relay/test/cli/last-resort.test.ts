/** A bug outside of any request ends the process, in order; what only looks like one does not. */
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { chatRequest, until } from "../simulator/raw-client.ts";
import { call, errorOf } from "../support/call.ts";
import { freePort } from "../support/free-port.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { BIN, OWN_KEY, start } from "./command.ts";

/** Bugs by signal: one that is thrown, over and over, and one that is rejected. */
const BUGS = `
  process.on("SIGUSR2", () => setInterval(() => { throw new Error("a planted bug"); }, 20));
  process.on("SIGPROF", () => void Promise.reject(new Error("a planted bug")));`;

const HEALTH = { path: "/healthz", method: "GET", body: null };

async function startBuggy(settings: object = {}): Promise<{ relay: RelayProcess; simulator: Simulator }> {
  const simulator = await startSimulator({ scenario: { events: 3_000, ratePerSecond: 50, plainMs: 60_000 } });
  onTestFinished(() => simulator.close());
  const config = {
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: { upstreams: [{ upstream: "a", model: "m" }] } },
    ...settings,
  };
  const relay = await startRelayProcess(config, undefined, { flags: ["--import", `data:text/javascript,${encodeURIComponent(BUGS)}`] });
  onTestFinished(() => relay.close());
  return { relay, simulator };
}

test.each(["SIGUSR2", "SIGPROF"] as const)(
  "a bug outside of any request (%s) ends streams and plain answers as relay_stopped within 10 s, with their rows, the stack once, and 1",
  async (signal) => {
    const { relay, simulator } = await startBuggy();
    const streams = [1, 2, 3].map(() => call(relay));
    const plain = call(relay, { body: { model: "m", messages: [{ role: "user", content: "Hello" }] } });
    await until(() => simulator.counts.openRequests === 4);
    const startedAt = performance.now();
    relay.child.kill(signal);
    for (const answer of await Promise.all(streams)) expect([answer.isWhole, errorOf(answer).code]).toEqual([false, "relay_stopped"]);
    expect(errorOf(await plain).code).toBe("relay_stopped");
    expect(await relay.exited).toBe(1);
    expect(performance.now() - startedAt).toBeLessThan(10_500);
    expect(relay.rows().map((row) => row["end_reason"])).toEqual(Array.from({ length: 4 }, () => "relay_stopped"));
    expect(relay.output().match(/Error: a planted bug\\n\s+at /g)).toHaveLength(1);
    expect(relay.output()).toContain('"level":"error"');
  },
);

test("after a bug new requests are refused, on new connections and on those that are open", async () => {
  const { relay, simulator } = await startBuggy();
  // It reads nothing, so its stream is still being ended while the others knock.
  const mute = connect(relay.port, "127.0.0.1");
  onTestFinished(() => void mute.destroy());
  mute.pause().write(chatRequest({ model: "m", stream: true, messages: [] }, { authorization: `Bearer ${relay.key}` }));
  await until(() => simulator.counts.openRequests === 1);
  relay.child.kill("SIGPROF");
  await until(() => relay.output().includes("a planted bug"));
  await expect(call(relay)).rejects.toThrow(/ECONNREFUSED|ECONNRESET|socket hang up/);
  expect(simulator.counts.requests).toBe(1);
  expect(await relay.exited).toBe(1);
});

test("a bug while the relay drains ends the drain and is told by the exit code", async () => {
  const { relay, simulator } = await startBuggy({ shutdown: { delay: "0s", drain: "60s" } });
  const stream = call(relay);
  await until(() => simulator.counts.openRequests === 1);
  relay.child.kill("SIGTERM");
  await expect.poll(() => call(relay, HEALTH).catch(() => "deaf"), { timeout: 5_000 }).toBe("deaf");
  relay.child.kill("SIGPROF");
  expect(errorOf(await stream).code).toBe("relay_stopped");
  expect(await relay.exited).toBe(1);
});

test("a log on a full disk costs its lines, not the relay", async () => {
  const key = { MILLRACE_KEY: OWN_KEY };
  const program = ["/bin/sh", "-c", 'exec "$0" "$@" 2>/dev/full', process.execPath, BIN] as const;
  const port = await freePort();
  const started = start(["serve", "--port", String(port)], { program, env: key });
  await started.says("listening on");
  for (let n = 0; n < 3; n++) {
    const answer = await call({ port, key: OWN_KEY }, { body: { model: "demo", stream: true, max_tokens: 1, messages: [] } });
    expect(answer).toMatchObject({ status: 200, isWhole: true });
  }
  started.child.kill("SIGTERM");
  expect((await started.exited).code).toBe(0);
});

test("a reader of the start lines who leaves costs the relay nothing", async () => {
  const port = await freePort();
  const started = start(["serve", "--port", String(port)]);
  await started.says("listening on");
  started.child.stdout?.destroy();
  expect((await call({ port, key: OWN_KEY }, HEALTH)).status).toBe(200);
  started.child.kill("SIGTERM");
  expect((await started.exited).code).toBe(0);
});
