import { Buffer } from "node:buffer";

import type { AnswerPlan } from "./answer-plan.ts";
import { drawFrom } from "./draw.ts";
import type { Draw } from "./draw.ts";

/** One increment of an answer. */
export type Piece =
  | { readonly kind: "reasoning"; readonly text: string }
  | { readonly kind: "content"; readonly text: string }
  | {
      readonly kind: "tool-start";
      readonly index: number;
      readonly id: string;
      readonly name: string;
    }
  | { readonly kind: "tool-arguments"; readonly index: number; readonly text: string }
  /** The token limit was reached. */
  | { readonly kind: "limit" };

const WORDS =
  "river stone light quiet morning water wheel turns slowly under the old mill while swift birds cross a grey sky and rain begins to fall on fields of green barley".split(
    " ",
  );
const ARGUMENT_PIECE = 8;

/** The increments of one choice, in order, each made when it is asked for. */
export function* choicePieces(plan: AnswerPlan, choice: number): Generator<Piece, undefined> {
  const draw = drawFrom(choice, plan.wordSeed);
  let left = plan.deltasMax;
  for (const piece of spoken(plan, draw)) {
    if (left <= 0) {
      yield { kind: "limit" };
      return;
    }
    left -= 1;
    yield piece;
  }
  yield* toolPieces(plan);
}

function* spoken(plan: AnswerPlan, draw: Draw): Generator<Piece> {
  for (let count = 0; count < plan.scenario.reasoning; count += 1) yield { kind: "reasoning", text: `${word(draw)} ` };
  const { eventBytes } = plan.scenario;
  for (const text of texts(plan, draw)) yield { kind: "content", text: eventBytes > 0 ? pad(text, eventBytes) : text };
}

function* texts(plan: AnswerPlan, draw: Draw): Generator<string> {
  if (plan.scenario.toolCalls.length > 0 && plan.scenario.text === null) return;
  if (plan.text !== null) {
    yield* cutText(plan.text, plan.scenario.chunking);
    return;
  }
  for (let count = 0; count < plan.events; count += 1) yield `${word(draw)} `;
}

/** Cuts text into deltas that join to the same text; never inside a character. */
function cutText(text: string, chunking: "word" | "character" | "whole" | number): readonly string[] {
  if (text === "") return [];
  if (chunking === "whole") return [text];
  if (chunking === "word") return text.match(/\s*\S+\s*$|\s*\S+|\s+/gu) ?? [];
  const size = chunking === "character" ? 1 : Math.max(1, chunking);
  const characters = [...text];
  const count = Math.ceil(characters.length / size);
  return Array.from({ length: count }, (_, at) => characters.slice(at * size, (at + 1) * size).join(""));
}

function* toolPieces(plan: AnswerPlan): Generator<Piece> {
  for (const [index, call] of plan.scenario.toolCalls.entries()) {
    yield { kind: "tool-start", index, id: call.id, name: call.name };
    for (const text of cutText(call.arguments, ARGUMENT_PIECE)) yield { kind: "tool-arguments", index, text };
  }
}

function word(draw: Draw): string {
  return WORDS[Math.floor(draw() * WORDS.length)] ?? "river";
}

function pad(text: string, bytes: number): string {
  const missing = bytes - Buffer.byteLength(text);
  return missing > 0 ? text + ".".repeat(missing) : text;
}
