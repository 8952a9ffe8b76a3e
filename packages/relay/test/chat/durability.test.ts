import { afterEach, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { call } from "../support/call.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";

let simulator: Simulator;
let relay: RelayProcess;

afterEach(async () => {
  await relay.close();
  await simulator.close();
});

const CYCLES = process.env["MILLRACE_LONG"] === "1" ? 100 : 6;
const STREAMS = 20;

test("whoever saw [DONE], or a whole plain answer, finds the row after kill -9", { timeout: 20_000 + CYCLES * 5_000 }, async () => {
  simulator = await startSimulator({ scenario: { events: [5, 60], ratePerSecond: 400 } });
  const config = {
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: { upstreams: [{ upstream: "a", model: "m" }] } },
  };
  relay = await startRelayProcess(config);
  const finished = new Set<string>();
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    let isDead = false;
    const loops = Array.from({ length: STREAMS }, async (_, i) => {
      while (!isDead) {
        const body = { model: "m", stream: i % 4 !== 0, messages: [{ role: "user", content: `${cycle} ${i} ${Math.random()}` }] };
        const answer = await call(relay, { body }).catch(() => null);
        const isFinished =
          answer !== null && answer.isWhole && answer.status === 200 && (i % 4 === 0 || answer.body.endsWith("data: [DONE]\n\n"));
        if (isFinished) finished.add(String(answer.headers["x-request-id"]));
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 250 + 350 * Math.random()));
    relay.child.kill("SIGKILL");
    isDead = true;
    await Promise.all(loops);
    await relay.exited;
    relay = await startRelayProcess(config, relay);
    const kept = new Set(relay.rows().map((row) => String(row["id"])));
    expect([...finished].filter((id) => !kept.has(id))).toEqual([]);
  }
  expect(finished.size).toBeGreaterThan(CYCLES * STREAMS);
});
