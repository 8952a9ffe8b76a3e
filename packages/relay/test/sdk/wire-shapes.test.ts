import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { OPENAI_VERSIONS, STREAM_CLIENTS } from "./clients.ts";
import type { StreamClient } from "./clients.ts";
import { codeOf, outcomeOf, wanted } from "./outcome.ts";
import { scenarioInOnePacket, scenarioOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { SHAPES, shapesJson } from "./shapes.ts";

/** An answer that does not wait for the upstream's connection to close. */
const PROMPT_MS = 1_500;

let relay: TestRelay;
let upstream: Simulator;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: {} } });
  upstream = relay.simulators["a"] as Simulator;
});
afterAll(() => relay.close());

async function check(client: StreamClient, shape: Shape, model: string): Promise<void> {
  const startedAt = performance.now();
  const outcome = await outcomeOf(() => client.stream(relay, { model, n: shape.choicesAsked }));
  const { answer, orError } = wanted(shape, client.kind);
  if (outcome.kind === "answer") expect(outcome.choices).toEqual(answer);
  else if (!orError) expect.fail(`an error instead of the answer: ${String(outcome.error)}`);
  else if (client.keepsCode && shape.code !== null) expect(codeOf(outcome.error)).toBe(shape.code);
  if (shape.isPrompt) expect(performance.now() - startedAt).toBeLessThan(PROMPT_MS);
}

test("every shape has a name and a row of its own", () => {
  expect(new Set(SHAPES.map((shape) => shape.name)).size).toBe(SHAPES.length);
  expect(new Set(SHAPES.map((shape) => shape.row)).size).toBe(SHAPES.length);
});

test("the shapes that other languages read are these", async () => {
  await expect(shapesJson()).toMatchFileSnapshot(join(import.meta.dirname, "../../../../fixtures/shapes.json"));
});

describe.each(STREAM_CLIENTS)("$name gets the whole answer or an error", (client) => {
  test.each(SHAPES.filter((shape) => client.knowsChoices || shape.choicesAsked === 1))("$table: $row", async (shape) => {
    upstream.setScenario(scenarioOf(shape));
    await check(client, shape, "m");
  });
});

const newest = STREAM_CLIENTS.find((client) => client.name.startsWith(OPENAI_VERSIONS.at(-1)?.name ?? "none")) as StreamClient;

describe("so it is when every event has its model name changed", () => {
  test.each(SHAPES)("$table: $row", async (shape) => {
    upstream.setScenario(scenarioOf(shape));
    await check(newest, shape, "a/other-name");
  });
});

describe("so it is when the whole body comes in one packet", () => {
  test.each(SHAPES)("$table: $row", async (shape) => {
    upstream.setScenario(scenarioInOnePacket(shape));
    await check(newest, shape, "m");
  });
});
