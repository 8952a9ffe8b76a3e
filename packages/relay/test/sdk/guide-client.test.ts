import { afterAll, beforeAll, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { streamLikeTheGuide } from "./guide-client.ts";
import { outcomeOf, wanted } from "./outcome.ts";
import { said, scenarioOf } from "./shape.ts";
import { SHAPES } from "./shapes.ts";

let relay: TestRelay;
let upstream: Simulator;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: {} } });
  upstream = relay.simulators["a"] as Simulator;
});
afterAll(() => relay.close());

test("the guide's Node program shows the text while it comes and returns all of it", async () => {
  upstream.setScenario({ text: "Grüße, 世界! 🙂 ".repeat(40), chunking: "character", ratePerSecond: 2_000 });
  const pieces: string[] = [];
  const { text } = await streamLikeTheGuide({ url: relay.url, key: relay.key, model: "m", onChunk: (piece) => pieces.push(piece) });
  expect(text).toBe("Grüße, 世界! 🙂 ".repeat(40));
  expect(pieces.length).toBeGreaterThan(100);
});

test("the guide's check of a key works: the list of models is there for a good one only", async () => {
  const listWith = (key: string) => fetch(`${relay.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  expect((await listWith(relay.key)).ok).toBe(true);
  expect((await listWith(`${relay.key.slice(0, -4)}0000`)).status).toBe(401);
});

/** It reads the first choice's text and nothing else; a status that is no success is all it is told before content. */
test.each(SHAPES.filter((shape) => shape.choicesAsked === 1))(
  "the guide's Node program gets all or an error: $table: $row",
  async (shape) => {
    upstream.setScenario(scenarioOf(shape));
    const outcome = await outcomeOf(async () => {
      const { status, text } = await streamLikeTheGuide({ url: relay.url, key: relay.key, model: "m" });
      if (status !== 200) throw new Error(`status ${status}`);
      return [said(text)];
    });
    const { answer, orError } = wanted(shape, "chunks");
    if (outcome.kind === "answer") expect(outcome.choices[0]?.text).toBe(answer?.[0]?.text ?? "an error");
    else expect([orError, outcome.error]).toEqual([true, outcome.error]);
  },
);
