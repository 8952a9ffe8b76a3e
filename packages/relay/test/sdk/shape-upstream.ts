/**
 * The upstream of the Python tests, as a process of its own: the model's name says how it answers. Prints its port;
 * ends when its standard input does.
 */
import type { Scenario } from "../../src/simulator/scenario.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { scenarioOf } from "./shape.ts";
import { shapeNamed } from "./shapes.ts";

const NAMED: Readonly<Record<string, Partial<Scenario>>> = {
  hello: { text: "Héllo wörld, 你好 🙂", reasoning: 2 },
  "line-separators": { text: "a\u2028b\u2029c\u0085d", chunking: "whole" },
  tools: { toolCalls: [{ id: "call_1", name: "weather", arguments: '{"city":"Bern"}' }] },
  "bad-request": { fault: { kind: "status", status: 400 } },
  throttled: { fault: { kind: "status", status: 429, retryAfterMs: 1_000 } },
  broken: { fault: { kind: "status", status: 500 } },
  endless: { fault: { kind: "endless-stream" }, ratePerSecond: 100 },
};

function scenarioFor(model: unknown, isStream: boolean): Partial<Scenario> | undefined {
  if (typeof model !== "string") return undefined;
  const shape = isStream ? shapeNamed(model) : undefined;
  if (shape !== undefined) return scenarioOf(shape);
  return Object.hasOwn(NAMED, model) ? NAMED[model] : undefined;
}

const simulator = await startSimulator({
  script: ({ json }) => {
    const body = typeof json === "object" && json !== null ? (json as { model?: unknown; stream?: unknown }) : {};
    return scenarioFor(body.model, body.stream === true);
  },
});
console.log(`listening on ${simulator.port}`);
process.stdin.resume();
process.stdin.on("end", () => void simulator.close());
