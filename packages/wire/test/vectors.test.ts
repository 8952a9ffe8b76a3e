import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { foldAnthropic } from "@millrace/wire/fold-anthropic";
import { foldGemini } from "@millrace/wire/fold-gemini";
import type { BodyEnd } from "@millrace/wire/fold-openai";
import { foldOpenAI, readOpenAIBody } from "@millrace/wire/fold-openai";
import { JsonScanner } from "@millrace/wire/json-scan";
import type { SseEvent } from "@millrace/wire/sse-reader";
import { SseReader } from "@millrace/wire/sse-reader";
import { cutAt, cutEvery } from "./pieces.ts";

interface ChunkPlan {
  readonly name: string;
  readonly every?: number;
  readonly lengths?: readonly number[];
}

interface Expected {
  readonly name: string;
  readonly kind: "sse" | "openai-chat" | "anthropic" | "gemini" | "json-body";
  readonly bytes: number;
  readonly sha256: string;
  readonly end: BodyEnd;
  readonly chunkPlans: readonly ChunkPlan[];
  readonly sse?: unknown;
  readonly result?: unknown;
  readonly json?: unknown;
  readonly outcome?: string;
}

const folder = new URL("../../../fixtures/streams/", import.meta.url);
const vectors = readdirSync(folder)
  .filter((name) => name.endsWith(".expected.json"))
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Expected);

function bytesOfVector(vector: Expected): Uint8Array {
  const ending = vector.kind === "json-body" ? "body" : "sse";
  return new Uint8Array(readFileSync(new URL(`${vector.name}.${ending}`, folder)));
}

function cut(bytes: Uint8Array, plan: ChunkPlan): Uint8Array[] {
  const pieces = cutByPlan(bytes, plan);
  expect(pieces.reduce((size, piece) => size + piece.length, 0)).toBe(bytes.length);
  return pieces;
}

function cutByPlan(bytes: Uint8Array, plan: ChunkPlan): Uint8Array[] {
  if (plan.every !== undefined) return cutEvery(bytes, plan.every);
  if (plan.lengths === undefined) return [bytes];
  let at = 0;
  const offsets = plan.lengths.map((length) => (at += length));
  return cutAt(bytes, offsets.slice(0, -1));
}

function read(pieces: readonly Uint8Array[]) {
  const comments: string[] = [];
  const reader = new SseReader({ onComment: (text) => comments.push(text) });
  const events = pieces.flatMap((piece) => [...reader.push(piece)]);
  const { incompleteTail } = reader.end();
  const { reconnectionMs, lastEventId } = reader;
  return { events, comments, reconnectionMs, lastEventId, incompleteTail };
}

const FOLDS = {
  "openai-chat": foldOpenAI,
  anthropic: foldAnthropic,
  gemini: foldGemini,
} as const;

function fold(vector: Expected, events: readonly SseEvent[]): unknown {
  if (vector.kind === "sse" || vector.kind === "json-body") return undefined;
  return FOLDS[vector.kind](events, vector.end);
}

it.each(vectors)("$name is the file that its expectation was made for", (vector) => {
  const bytes = bytesOfVector(vector);
  expect(bytes.length).toBe(vector.bytes);
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(vector.sha256);
});

describe.each(vectors.filter((vector) => vector.kind !== "json-body"))("stream $name", (vector) => {
  const bytes = bytesOfVector(vector);

  it.each(vector.chunkPlans)("reads the same when cut as $name", (plan) => {
    const got = read(cut(bytes, plan));
    expect(got).toStrictEqual(vector.sse);
    expect(fold(vector, got.events)).toStrictEqual(vector.result);
  });

  it("reads the same when cut once, at any byte", () => {
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(read(cutAt(bytes, [at])), `cut at ${at}`).toStrictEqual(vector.sse);
    }
  });
});

describe.each(vectors.filter((vector) => vector.kind === "json-body"))("body $name", (vector) => {
  const bytes = bytesOfVector(vector);

  it.each(vector.chunkPlans)("reads the same when cut as $name", (plan) => {
    const pieces = cut(bytes, plan);
    const { json, outcome } = readOpenAIBody(decodeAll(pieces));
    expect({ json, outcome }).toStrictEqual({ json: vector.json, outcome: vector.outcome });
    const scanner = new JsonScanner();
    for (const piece of pieces) expect(scanner.push(piece)).toBeNull();
    expect(scanner.end()).toBeNull();
  });
});

function decodeAll(pieces: readonly Uint8Array[]): string {
  const decoder = new TextDecoder();
  return pieces.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode();
}

it("all twenty-eight vectors are there", () => {
  expect(vectors).toHaveLength(28);
});
