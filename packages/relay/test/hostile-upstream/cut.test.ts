import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { foldOpenAI } from "@millrace/wire/fold-openai";
import { SseReader } from "@millrace/wire/sse-reader";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { FORTY_EVENTS } from "./forty-events.ts";
import { expectAtRest, guard } from "./guards.ts";
import type { Guard } from "./guards.ts";
import { chunked, startRawUpstream } from "./raw-upstream.ts";
import type { RawUpstream } from "./raw-upstream.ts";

const AT_ONCE = 48;
const TEXT_B = "The whole answer of the second upstream.";

interface Wire {
  readonly bytes: Buffer;
  /** Offset on the wire behind the last byte of each event. */
  readonly ends: readonly number[];
}

function wireOf(lineEnd: string): Wire {
  const frames = FORTY_EVENTS.map((event) => Buffer.from(`data: ${event}${lineEnd}${lineEnd}`));
  const bytes = chunked(frames);
  let from = 0;
  const ends = frames.map((frame) => (from = bytes.indexOf(frame, from) + frame.length));
  return { bytes, ends };
}

const LF = wireOf("\n");
const CRLF = wireOf("\r\n");
const BARE = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n${FORTY_EVENTS.map((event) => `data: ${event}\n\n`).join("")}`,
);

interface Cut {
  readonly framing: "lf" | "crlf" | "bare";
  readonly at: number;
  readonly end: "fin" | "rst";
}

interface Seen {
  readonly status: number;
  readonly events: readonly string[];
  readonly isWhole: boolean;
  readonly hasDone: boolean;
  readonly code: string | null;
}

/** One request on a socket of its own: node's client would cost more than the relay. */
function ask(relay: TestRelay, cut: Cut): Promise<Seen> {
  const body = JSON.stringify({
    model: "m",
    stream: true,
    stream_options: { include_usage: true },
    messages: [],
    x_cut: `${cut.framing} ${cut.at} ${cut.end}`,
  });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${relay.key}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return new Promise((resolve, reject) => {
    const socket = connect(relay.port, "127.0.0.1", () => socket.write(head + body));
    const pieces: Buffer[] = [];
    socket.on("data", (piece) => pieces.push(piece));
    socket.on("error", reject);
    socket.on("close", () => resolve(read(Buffer.concat(pieces))));
  });
}

function read(answer: Buffer): Seen {
  const headEnd = answer.indexOf("\r\n\r\n");
  const status = Number(answer.toString("latin1", 9, 12));
  const body = answer.subarray(headEnd + 4);
  const { bytes, isWhole } = unchunk(body);
  if (status !== 200) {
    const { error } = JSON.parse(bytes.toString()) as { error: { code: string } };
    return { status, events: [], isWhole, hasDone: bytes.includes("[DONE]"), code: error.code };
  }
  const events = new SseReader().push(bytes).map((event) => event.data);
  const last = events.at(-1) ?? "";
  const code = last.startsWith('{"error"') ? (JSON.parse(last) as { error: { code: string } }).error.code : null;
  return { status, events: code === null ? events : events.slice(0, -1), isWhole, hasDone: events.includes("[DONE]"), code };
}

function unchunk(body: Buffer): { bytes: Buffer; isWhole: boolean } {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = body.indexOf("\r\n", at);
    if (lineEnd < 0) return { bytes: Buffer.concat(parts), isWhole: false };
    const size = Number.parseInt(body.toString("latin1", at, lineEnd), 16);
    if (size === 0) return { bytes: Buffer.concat(parts), isWhole: true };
    parts.push(body.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}

/** Which of the cases went otherwise than they may, in words. */
function judge(cut: Cut, seen: Seen, hasFallback: boolean): string | null {
  const { ends } = cut.framing === "lf" ? LF : CRLF;
  const arrived = ends.filter((end) => end <= cut.at).length;
  const isWhole = arrived === FORTY_EVENTS.length;
  const hasContent = arrived >= 2;
  if (seen.hasDone !== (seen.status === 200 && seen.isWhole)) return `[DONE] ${seen.hasDone} although whole ${seen.isWhole}`;
  if (isWhole) {
    if (seen.status === 200 && seen.isWhole && same(seen.events, FORTY_EVENTS)) return null;
    return `not the whole answer: ${seen.status} ${seen.code} ${seen.events.length} events`;
  }
  if (hasContent) {
    // An LF after a CR may come later: the event is complete without it.
    const isPrefix = same(seen.events, FORTY_EVENTS.slice(0, seen.events.length));
    const isAllThatArrived = seen.events.length === arrived || (cut.framing === "crlf" && seen.events.length === arrived + 1);
    if (seen.status === 200 && seen.code === "upstream_truncated" && isPrefix && isAllThatArrived) return null;
    return `${arrived} events arrived, the client saw ${seen.events.length} (prefix: ${isPrefix}), ${seen.status} ${seen.code}`;
  }
  if (!hasFallback) return seen.status === 502 && seen.code === "upstream_failed" ? null : `no content, but ${seen.status} ${seen.code}`;
  const fold = foldOpenAI(
    seen.events.map((data) => ({ event: "message", data, lastEventId: "" })),
    "eof",
  );
  return seen.isWhole && fold.choices[0]?.text === TEXT_B ? null : `not the whole answer of b: ${seen.status} ${seen.code}`;
}

function same(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((event, at) => event === right[at]);
}

async function runCuts(relay: TestRelay, cuts: readonly Cut[], hasFallback: boolean): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let cut = cuts[next++]; cut !== undefined; cut = cuts[next++]) {
      const problem = judge(cut, await ask(relay, cut), hasFallback);
      if (problem !== null) wrong.push(`${cut.framing} ${cut.end} at ${cut.at}: ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return wrong;
}

function everyOffset(framing: Cut["framing"], step: number): Cut[] {
  const size = (framing === "lf" ? LF : CRLF).bytes.length;
  const offsets = Array.from({ length: Math.floor(size / step) + 1 }, (_, i) => i * step);
  return offsets.flatMap((at): Cut[] => [
    { framing, at, end: "fin" },
    { framing, at, end: "rst" },
  ]);
}

const FINISH_AT = FORTY_EVENTS.findIndex((event) => event.includes('"finish_reason":"tool_calls"'));

/** A clean end may complete what has its finish reason, with events that came whole and `[DONE]`; else it is an error. */
function judgeBare(seen: Seen): string | null {
  const events = seen.hasDone ? seen.events.slice(0, -1) : seen.events;
  const isPrefix = same(events, FORTY_EVENTS.slice(0, events.length));
  if (!isPrefix) return "events that never were";
  if (seen.status !== 200)
    return seen.status === 502 && seen.code === "upstream_failed" && events.length === 0 ? null : `${seen.status} ${seen.code}`;
  if (seen.isWhole) return seen.hasDone && events.length > FINISH_AT ? null : `whole after ${events.length} events`;
  return !seen.hasDone && seen.code !== null ? null : `${seen.code} after ${events.length} events`;
}

async function runBare(): Promise<{ wrong: string[]; whole: number }> {
  const wrong: string[] = [];
  let whole = 0;
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at <= BARE.length; at = next++) {
      const seen = await ask(relays.optional, { framing: "bare", at, end: "fin" });
      const problem = judgeBare(seen);
      if (problem !== null) wrong.push(`at ${at}: ${problem}`);
      if (seen.status === 200 && seen.isWhole) whole += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { wrong, whole };
}

let upstream: RawUpstream;
let relays: Record<"optional" | "required" | "fallback", TestRelay>;
const watch: Guard = guard();

beforeAll(async () => {
  upstream = await startRawUpstream((request) => {
    const [, framing, at = "0", end] = /"x_cut":"(\w+) (\d+) (\w+)"/.exec(request) ?? [];
    const bytes = framing === "bare" ? BARE : (framing === "crlf" ? CRLF : LF).bytes;
    return { bytes: bytes.subarray(0, Number(at)), end: end === "rst" ? "rst" : "fin" };
  });
  const a = { baseUrl: upstream.baseUrl };
  relays = {
    optional: await startRelay({ upstreams: { a } }),
    required: await startRelay({ upstreams: { a: { ...a, finish: "required" } } }),
    fallback: await startRelay({ upstreams: { a, b: { simulator: { scenario: { text: TEXT_B } } } } }),
  };
});

afterAll(async () => {
  await Promise.all(Object.values(relays).map((relay) => relay.close()));
  await upstream.close();
  watch.stop();
});

describe("a stream of forty events, cut at every byte by FIN and by RST", () => {
  test("the stream has forty events and some 4,000 bytes or more", () => {
    expect(FORTY_EVENTS.length).toBe(40);
    expect(LF.bytes.length).toBeGreaterThan(4_000);
  });

  test("with no other upstream the client sees the whole answer, or its beginning and an error, or an error", async () => {
    expect(await runCuts(relays.optional, everyOffset("lf", 1), false)).toEqual([]);
  }, 90_000);

  test("with a second upstream it sees the whole answer of one, or the beginning of the first and an error", async () => {
    expect(await runCuts(relays.fallback, everyOffset("lf", 1), true)).toEqual([]);
  }, 90_000);

  test("so it is when the upstream is known to always send a finish reason", async () => {
    expect(await runCuts(relays.required, everyOffset("lf", 7), false)).toEqual([]);
  }, 60_000);

  test("a body that only FIN ends is whole with its finish reason, and never before", async () => {
    const { wrong, whole } = await runBare();
    expect(wrong).toEqual([]);
    expect(whole).toBeGreaterThan(1);
  }, 60_000);

  test("so it is with CRLF", async () => {
    expect(await runCuts(relays.optional, everyOffset("crlf", 7), false)).toEqual([]);
    expect(await runCuts(relays.fallback, everyOffset("crlf", 7), true)).toEqual([]);
  }, 60_000);

  test("afterwards nothing is in flight and nothing was thrown", async () => {
    for (const relay of Object.values(relays)) await expectAtRest(relay, watch);
  });
});
