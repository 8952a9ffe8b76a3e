/** The upstream of a trial: the simulator, with an answer drawn for each call, and a record of what it was asked and what it said. */
import { drawFrom, drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { Draw } from "../packages/relay/src/simulator/draw.ts";
import type { Fault } from "../packages/relay/src/simulator/fault.ts";
import type { Scenario } from "../packages/relay/src/simulator/scenario.ts";
import type { SeenRequest } from "../packages/relay/src/simulator/seen-request.ts";
import { startSimulator } from "../packages/relay/src/simulator/simulator.ts";
import type { Moments } from "./moments.ts";
import { SLIDING } from "./tariff.ts";
import type { Tokens } from "./tariff.ts";

/** One call, as the upstream knows it. */
export interface Call {
  /** The request's own number, from its `max_tokens`. */
  readonly number: number;
  /** Wall clock, milliseconds. */
  readonly arrivedAt: number;
  /** What it reports, if it reports. */
  readonly tokens: Tokens;
  readonly reportsUsage: boolean;
  /** The whole text that it intends to send. */
  readonly text: string;
  readonly fault: Fault["kind"] | null;
}

export interface Upstream {
  readonly url: string;
  /** In the order in which they came. */
  readonly calls: readonly Call[];
  close(): Promise<void>;
}

const WORDS = "mill race wheel water stone grain flour sluice river weir".split(" ");
/** Below the number of any request, as the estimate of the longest text is too, and below what a sliding hold begins with. */
const COMPLETION_MAX = 900;
const PROMPT_MAX = 4_000;
const PLAIN_MS_MAX = 400;

export async function startUpstream(seed: number, moments: Moments): Promise<Upstream> {
  const calls: Call[] = [];
  const asked = new Map<number, number>();
  const script = (request: SeenRequest): Partial<Scenario> => {
    const number = numberOf(request);
    const before = asked.get(number) ?? 0;
    asked.set(number, before + 1);
    const draw = drawFrom(seed, `call ${number} ${before}`);
    const { call, scenario } = planCall(number, draw() < longShareOf(request), draw);
    calls.push(call);
    moments.note("asked");
    return scenario;
  };
  const simulator = await startSimulator({ seed, script, seenMax: 1 });
  return { url: simulator.url, calls, close: () => simulator.close() };
}

/** The number; 0 for a call that no client of the trial can have caused. */
function numberOf(request: SeenRequest): number {
  const body = request.json;
  const number = typeof body === "object" && body !== null && "max_tokens" in body ? body.max_tokens : 0;
  return typeof number === "number" ? number : 0;
}

/** What is paid for as it grows must grow. */
function longShareOf(request: SeenRequest): number {
  const body = request.json;
  return typeof body === "object" && body !== null && "model" in body && body.model === SLIDING ? 0.75 : 0.15;
}

function planCall(number: number, isLong: boolean, draw: Draw): { call: Call; scenario: Partial<Scenario> } {
  const text = drawText(draw, isLong);
  const tokens = drawTokens(draw);
  const fault = drawFaultOf(draw);
  const reportsUsage = draw() < 0.88;
  const usage = draw() < 0.8 ? "asked" : "finish";
  return {
    call: { number, arrivedAt: Date.now(), tokens, reportsUsage, text, fault: fault?.kind ?? null },
    scenario: {
      text,
      tokens,
      fault,
      usage: reportsUsage ? usage : "never",
      ratePerSecond: isLong ? 400 : drawInteger(draw, 60, 600),
      // Long enough that some are always under way when something happens.
      plainMs: drawInteger(draw, 0, PLAIN_MS_MAX),
      ttftMs: draw() < 0.1 ? drawInteger(draw, 200, 700) : drawInteger(draw, 0, 30),
    },
  };
}

/** The long ones say so much in so little time that they are charged for in the middle when the relay dies. */
function drawText(draw: Draw, isLong: boolean): string {
  const count = isLong ? 300 : drawInteger(draw, 3, 60);
  const word = (): string => WORDS[drawInteger(draw, 0, WORDS.length - 1)] ?? "mill";
  return Array.from({ length: count }, () => (isLong ? word().repeat(8) : word())).join(" ");
}

function drawTokens(draw: Draw): Tokens {
  if (draw() < 0.04) return { prompt: 0, cached: 0, completion: 0, reasoning: 0 };
  const prompt = drawInteger(draw, 1, PROMPT_MAX);
  const completion = drawInteger(draw, 1, COMPLETION_MAX);
  return {
    prompt,
    cached: draw() < 0.5 ? 0 : drawInteger(draw, 0, prompt),
    completion,
    reasoning: draw() < 0.6 ? 0 : drawInteger(draw, 0, completion),
  };
}

function drawFaultOf(draw: Draw): Fault | null {
  const chance = draw();
  if (chance < 0.06) return { kind: "status", status: 500 };
  if (chance < 0.08) return { kind: "status", status: 503 };
  if (chance < 0.11) return { kind: "cut", bytes: drawInteger(draw, 1, 6_000) };
  if (chance < 0.14) return { kind: "rst", bytes: drawInteger(draw, 1, 6_000) };
  if (chance < 0.16) return { kind: "error-event", afterEvents: drawInteger(draw, 1, 10) };
  if (chance < 0.17) return { kind: "error-first" };
  if (chance < 0.19) return { kind: "no-done" };
  return null;
}
