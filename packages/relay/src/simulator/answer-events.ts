import type { AnswerPlan } from "./answer-plan.ts";
import { choiceJson, chunkHead, deltaJson, finishDeltaJson, roleDeltaJson } from "./chunk.ts";
import { choicePieces } from "./piece.ts";
import type { Piece } from "./piece.ts";
import { stampNow } from "./stamp.ts";
import type { StreamItem } from "./stream-item.ts";
import { usageJson } from "./usage.ts";

/** One choice while it is being said. */
interface Voice {
  readonly choice: number;
  readonly pieces: Generator<Piece, undefined>;
  /** What it says next; undefined once it has said all. */
  next: Exclude<Piece, { kind: "limit" }> | undefined;
  hasRole: boolean;
  isLimited: boolean;
}

/** What the chunks of one answer share, and the text sent so far. */
interface Telling {
  readonly plan: AnswerPlan;
  readonly head: string;
  readonly said: { completion: number; reasoning: number };
}

/** The good stream of an answer: role, deltas, finish, usage, `[DONE]`, as the scenario words them. */
export function* answerEvents(plan: AnswerPlan): Generator<StreamItem> {
  const telling: Telling = { plan, head: chunkHead(plan), said: { completion: 0, reasoning: 0 } };
  const voices = Array.from({ length: plan.choices }, (_, choice) => startVoice(plan, choice));
  yield "tick";
  yield* speak(telling, voices);
  for (const voice of voices) yield* finishChunk(telling, voice, voice === voices.at(-1));
  const { usage } = plan.scenario;
  if (plan.asksUsage && usage !== "never" && usage !== "x_groq" && usage !== "finish") {
    yield { data: `${telling.head}"choices":[],"usage":${usageJson(plan, telling.said)}}` };
  }
  if (plan.scenario.done) yield { data: "[DONE]" };
}

/** Why a choice ended, in the words of `finish_reason`; null when the scenario never says it. */
export function finishReason(plan: AnswerPlan, isLimited: boolean): string | null {
  const { finishReason: scripted, toolCalls } = plan.scenario;
  if (scripted !== undefined) return scripted;
  if (isLimited) return "length";
  return toolCalls.length > 0 ? "tool_calls" : "stop";
}

function startVoice(plan: AnswerPlan, choice: number): Voice {
  const voice: Voice = {
    choice,
    pieces: choicePieces(plan, choice),
    next: undefined,
    hasRole: false,
    isLimited: false,
  };
  advance(voice);
  return voice;
}

/** Sends deltas of the choices in turn until all have ended. The first delta does not wait for a beat. */
function* speak(telling: Telling, voices: readonly Voice[]): Generator<StreamItem> {
  for (const voice of voices) yield* roleChunk(telling, voice);
  for (let isFirst = true; voices.some((voice) => voice.next !== undefined);) {
    for (const voice of voices) {
      if (voice.next === undefined) continue;
      if (!isFirst) yield "tick";
      isFirst = false;
      yield deltaChunk(telling, voice, voice.next);
      advance(voice);
    }
  }
}

function* roleChunk(telling: Telling, voice: Voice): Generator<StreamItem> {
  const { plan } = telling;
  if (voice.hasRole || plan.scenario.roleChunk !== "own" || plan.endpoint !== "chat") return;
  voice.hasRole = true;
  yield chunk(telling, voice.choice, roleDeltaJson(plan), "null");
}

function advance(voice: Voice): void {
  const { value: piece } = voice.pieces.next();
  voice.isLimited = piece?.kind === "limit";
  voice.next = piece?.kind === "limit" ? undefined : piece;
}

function deltaChunk(telling: Telling, voice: Voice, piece: Piece): StreamItem {
  telling.said.completion += 1;
  if (piece.kind === "reasoning") telling.said.reasoning += 1;
  const delta = deltaJson(telling.plan, stamped(telling.plan, piece), saysRole(telling.plan, voice));
  voice.hasRole = true;
  return chunk(telling, voice.choice, delta, "null");
}

/** Puts a stamp in front of a text. If the text has room for it, the text keeps the size to which it was padded. */
function stamped(plan: AnswerPlan, piece: Piece): Piece {
  const { stampSendTime, eventBytes } = plan.scenario;
  if (!stampSendTime || piece.kind !== "content") return piece;
  const stamp = stampNow();
  const text = eventBytes > 0 ? (stamp + piece.text).slice(0, Math.max(eventBytes, stamp.length)) : stamp + piece.text;
  return { kind: "content", text };
}

function saysRole(plan: AnswerPlan, voice: Voice): boolean {
  const { roleChunk: style } = plan.scenario;
  return style === "everyChunk" || (style === "withContent" && !voice.hasRole);
}

function* finishChunk(telling: Telling, voice: Voice, isLast: boolean): Generator<StreamItem> {
  const { plan, said } = telling;
  const reason = finishReason(plan, voice.isLimited);
  if (reason === null) return;
  const usage = isLast ? finishUsage(plan, usageJson(plan, said)) : undefined;
  yield chunk(telling, voice.choice, finishDeltaJson(plan), JSON.stringify(reason), usage);
}

/** The fields that the finish chunk carries by the style, as JSON. */
function finishUsage(plan: AnswerPlan, usage: string): string | undefined {
  const style = plan.scenario.usage;
  if (style === "finish" || style === "both") return `,"usage":${usage}`;
  return style === "x_groq" ? `,"x_groq":{"id":"req_${plan.id}","usage":${usage}}` : undefined;
}

function chunk(telling: Telling, choice: number, delta: string, finish: string, extra?: string): StreamItem {
  const { plan, head, said } = telling;
  return {
    data: `${head}${choiceJson(plan, choice, delta, finish)}${extra ?? chunkUsage(plan, said)}}`,
  };
}

function chunkUsage(plan: AnswerPlan, said: Telling["said"]): string {
  const { usage, usageNull } = plan.scenario;
  if (usage === "every-chunk") return `,"usage":${usageJson(plan, said)}`;
  const isNull = usageNull ?? (usage === "finish" || (usage !== "never" && usage !== "x_groq" && plan.asksUsage));
  return isNull ? ',"usage":null' : "";
}
