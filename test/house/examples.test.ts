/** The examples do what they say, against a relay in a process of its own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { startRelayProcess } from "../../packages/relay/test/support/relay-process.ts";
import type { RelayProcess } from "../../packages/relay/test/support/relay-process.ts";
import { startSimulator } from "../../packages/relay/src/simulator/simulator.ts";
import type { Simulator, SimulatorOptions } from "../../packages/relay/src/simulator/simulator.ts";
import { root } from "./checkout.ts";

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
});

function run(file: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const child = spawn(process.execPath, [join(root, "examples", file)], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
}

async function relayOn(options: SimulatorOptions): Promise<RelayProcess> {
  const simulator: Simulator = await startSimulator(options);
  open.push(simulator);
  const relay = await startRelayProcess({
    upstreams: { lab: { provider: "openai-compatible", base_url: simulator.url } },
    models: { lab: { upstreams: [{ upstream: "lab" }] } },
  });
  open.push(relay);
  return relay;
}

function environment(relay: RelayProcess): Record<string, string> {
  return { MILLRACE_URL: `http://127.0.0.1:${relay.port}`, MILLRACE_KEY: relay.key };
}

test("examples/stream.ts prints a whole answer and says so", async () => {
  const relay = await relayOn({ scenario: { text: "one two three" } });
  const { code, output } = await run("stream.ts", environment(relay));
  expect(output).toBe("one two three\n-- whole, finish reason stop\n");
  expect(code).toBe(0);
});

test("examples/stream.ts tells a broken answer from a whole one", async () => {
  const relay = await relayOn({ scenario: { text: "one two three", fault: { kind: "error-event", afterEvents: 3 } } });
  const { code, output } = await run("stream.ts", environment(relay));
  expect(output).toContain("-- broken: upstream_failed");
  expect(code).toBe(1);
});

test("examples/fallback.ts shows both sides of the first content", async () => {
  const { code, output } = await run("fallback.ts");
  expect(output.trim().split("\n")).toEqual([
    "fails-first: status 200, answered by good, attempts 2, [DONE] yes, error none, the body ended",
    "breaks-later: status 200, answered by breaking, attempts 1, [DONE] no, error upstream_truncated, the connection broke",
  ]);
  expect(code).toBe(0);
});
