import { frame } from "./frame.ts";
import type { KeepAlive, Scenario } from "./scenario.ts";
import type { Outlet } from "./outlet.ts";
import type { StreamItem } from "./stream-item.ts";

/** What the player does next: write bytes, wait until a time after the start, or never go on. */
export type Step =
  | { readonly kind: "bytes"; readonly bytes: string | Uint8Array; readonly isEvent: boolean }
  | { readonly kind: "until"; readonly ms: number }
  | { readonly kind: "pause"; readonly ms: number }
  | { readonly kind: "hang" };

/** How events become bytes: framed as an event stream, or as lines or documents of JSON. */
export type Writing = "events" | "lines" | "documents";

/** The times of one stream, in milliseconds after its request was read. */
interface Schedule {
  readonly scenario: Scenario;
  /** When the last thing on the schedule was due. */
  nowMs: number;
  /** Silence so far, by which everything later moves. */
  gapMs: number;
  beats: number;
  events: number;
}

/** Gives the items of a stream their times and their frames. Rate and gaps follow one schedule, not the last write. */
export function* paceStream(items: Iterable<StreamItem>, scenario: Scenario, writing: Writing): Generator<Step> {
  const schedule: Schedule = { scenario, nowMs: 0, gapMs: 0, beats: 0, events: 0 };
  yield* gapSteps(schedule);
  for (const item of items) {
    if (item === "tick") yield* beatSteps(schedule);
    else if (item === "hang") yield { kind: "hang" };
    else if ("lingerMs" in item) yield { kind: "pause", ms: item.lingerMs };
    else if ("raw" in item) yield { kind: "bytes", bytes: item.raw, isEvent: false };
    else {
      yield { kind: "bytes", bytes: write(item, scenario, writing, schedule.events), isEvent: true };
      schedule.events += 1;
      // The gap comes before the next event is even made, so that its stamp is true.
      yield* gapSteps(schedule);
    }
  }
}

/** Carries the steps out, one after another, until they end or nobody listens any more. */
export async function play(steps: Iterable<Step>, outlet: Outlet): Promise<void> {
  for (const step of steps) {
    if (outlet.isOver) return;
    const wait = carryOut(step, outlet);
    if (wait !== undefined) await wait;
  }
}

/** All bytes of the steps at once, without their waits. */
export function collectBytes(steps: Iterable<Step>): Buffer {
  const parts: Uint8Array[] = [];
  for (const step of steps) {
    if (step.kind === "hang") break;
    if (step.kind === "bytes") parts.push(typeof step.bytes === "string" ? Buffer.from(step.bytes) : step.bytes);
  }
  return Buffer.concat(parts);
}

function carryOut(step: Step, outlet: Outlet): Promise<void> | undefined {
  switch (step.kind) {
    case "bytes":
      if (step.isEvent) outlet.seen.eventsWritten += 1;
      return outlet.send(step.bytes);
    case "until":
      return outlet.sleepUntil(step.ms);
    case "pause":
      return outlet.sleep(step.ms);
    case "hang":
      return outlet.hang();
  }
}

/** The first beat is the first event's; the rest follow at the rate. */
function* beatSteps(schedule: Schedule): Generator<Step> {
  const { ttftMs, ratePerSecond, keepAlive } = schedule.scenario;
  const rateMs = ratePerSecond > 0 ? (schedule.beats * 1000) / ratePerSecond : 0;
  const dueMs = ttftMs + schedule.gapMs + rateMs;
  schedule.beats += 1;
  yield* waitUntil(schedule.nowMs, dueMs, keepAlive);
  schedule.nowMs = dueMs;
}

function* gapSteps(schedule: Schedule): Generator<Step> {
  const gap = schedule.scenario.gapBefore;
  if (gap === null || gap.event !== schedule.events) return;
  const untilMs = schedule.nowMs + gap.ms;
  yield* waitUntil(schedule.nowMs, untilMs, gap.comments ?? null);
  schedule.nowMs = untilMs;
  schedule.gapMs += gap.ms;
}

function* waitUntil(fromMs: number, untilMs: number, keepAlive: KeepAlive | null): Generator<Step> {
  if (keepAlive !== null && keepAlive.everyMs > 0) {
    const comment = `${keepAlive.text}\n${keepAlive.blankLine ? "\n" : ""}`;
    for (let at = fromMs + keepAlive.everyMs; at < untilMs; at += keepAlive.everyMs) {
      yield { kind: "until", ms: at };
      yield { kind: "bytes", bytes: comment, isEvent: false };
    }
  }
  yield { kind: "until", ms: untilMs };
}

function write(item: { readonly data: string; readonly name?: string }, scenario: Scenario, writing: Writing, index: number): string {
  switch (writing) {
    case "events":
      return frame(item, scenario.framing, index);
    case "lines":
      return item.data === "[DONE]" ? "" : `${item.data}\n`;
    case "documents":
      return item.data === "[DONE]" ? "" : item.data;
  }
}
