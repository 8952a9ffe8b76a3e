import { drawFrom, drawHex, drawInteger } from "./draw.ts";
import { asObject } from "@millrace/wire/json-values";
import { asNumber, asText } from "./json.ts";
import type { JsonObject } from "@millrace/wire/json-values";
import { demoText, promptTokens } from "./prompt.ts";
import type { Scenario } from "./scenario.ts";

/** The two endpoints that talk. */
export type TextEndpoint = "chat" | "completions";

/** All that one answer is decided by: the same seed, body and scenario give the same plan. */
export interface AnswerPlan {
  readonly endpoint: TextEndpoint;
  readonly scenario: Scenario;
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
  readonly isStream: boolean;
  readonly asksUsage: boolean;
  readonly choices: number;
  /** The exact text, or null when `events` made-up words are said. */
  readonly text: string | null;
  readonly events: number;
  /** Deltas of reasoning and text that a choice may have before it ends with `length`. */
  readonly deltasMax: number;
  readonly promptTokens: number;
  /** Starts the sequence of words; each choice has its own. */
  readonly wordSeed: string;
}

const CREATED_BASE = 1_790_000_000;
const CREATED_SPREAD = 1_000_000;
const CHOICES_MAX = 128;

/** Decides an answer from the seed and the request's bytes. */
export function planAnswer(endpoint: TextEndpoint, body: JsonObject, bytes: Uint8Array, seed: number, scenario: Scenario): AnswerPlan {
  const draw = drawFrom(seed, bytes);
  const isStream = body["stream"] === true;
  return {
    endpoint,
    scenario,
    id: `${endpoint === "chat" ? "chatcmpl" : "cmpl"}-${drawHex(draw, 24)}`,
    created: CREATED_BASE + drawInteger(draw, 0, CREATED_SPREAD),
    model: asText(body["model"]) ?? "simulator",
    fingerprint: `fp_${drawHex(draw, 10)}`,
    isStream,
    asksUsage: isStream && asObject(body["stream_options"])?.["include_usage"] === true,
    choices: Math.min(scenario.n ?? asNumber(body["n"]) ?? 1, CHOICES_MAX),
    events: drawEvents(scenario, draw),
    text: scenario.text ?? (scenario.events === null && !scenario.stampSendTime ? demoText(body) : null),
    deltasMax: deltasMax(body),
    promptTokens: scenario.tokens.prompt ?? promptTokens(body),
    wordSeed: drawHex(draw, 16),
  };
}

const EVENTS_DEFAULT = 32;

function drawEvents(scenario: Scenario, draw: () => number): number {
  const events = scenario.events ?? EVENTS_DEFAULT;
  return typeof events === "number" ? events : drawInteger(draw, events[0], events[1]);
}

function deltasMax(body: JsonObject): number {
  return asNumber(body["max_completion_tokens"]) ?? asNumber(body["max_tokens"]) ?? Number.POSITIVE_INFINITY;
}
