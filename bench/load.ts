/** Load on one arm. Arrivals are fixed in advance (open loop); a generator that falls behind says so. */
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "node:http";
import type { Arm } from "./arms.ts";

type Target = Pick<Arm, "port" | "key">;

export interface StreamLoad {
  /** Streams alive at a time, on average. */
  readonly streams: number;
  /** Events a second and stream. */
  readonly rate: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly events: number;
  readonly failed: number;
  /** Milliseconds, one value an observed event. */
  readonly transit: number[];
  /** Milliseconds from the intended start to the first event, one a stream. */
  readonly firstEvent: number[];
  /** The latest that a request was started after its intended time, in milliseconds. */
  readonly behindMs: number;
}

const EVENTS = [50, 150] as const;
const STAMP = Buffer.from('"content":"@');
const EVENT_END = Buffer.from("\n\n");
/** Every so many events one is timed; timing all would make the generator the bottleneck. */
const OBSERVED = 8;

interface Tally {
  requests: number;
  events: number;
  failed: number;
  transit: number[];
  firstEvent: number[];
}

function newTally(): Tally {
  return { requests: 0, events: 0, failed: 0, transit: [], firstEvent: [] };
}

/** Keeps about `streams` streams alive for `seconds`; waits for the last to end. */
export async function runStreams(target: Target, load: StreamLoad): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: Infinity });
  const tally = newTally();
  const lifeMs = ((EVENTS[0] + EVENTS[1]) / 2 / load.rate) * 1000;
  const arrivals = Math.round((load.seconds * 1000 * load.streams) / lifeMs);
  const body = JSON.stringify({
    model: "m",
    stream: true,
    user: `rate=${load.rate} events=${EVENTS[0]}-${EVENTS[1]}`,
    messages: [{ role: "user", content: "bench" }],
  });
  const startedAt = performance.now();
  let behindMs = 0;
  const running: Promise<void>[] = [];
  for (let i = 0; i < arrivals; i++) {
    const intended = startedAt + (i * lifeMs) / load.streams;
    const wait = intended - performance.now();
    if (wait > 1) await sleep(wait);
    behindMs = Math.max(behindMs, performance.now() - intended);
    running.push(oneStream(agent, target, body, intended, tally));
  }
  await Promise.all(running);
  agent.destroy();
  return { ...tally, behindMs };
}

/** One stream after the other, on a warm connection: what a relay adds to the first event when nothing else runs. */
export async function runSingle(target: Target, count: number): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const tally = newTally();
  const body = JSON.stringify({ model: "m", stream: true, user: "rate=0 events=3-3", messages: [{ role: "user", content: "bench" }] });
  for (let i = 0; i < count; i++) await oneStream(agent, target, body, performance.now(), tally);
  agent.destroy();
  return { ...tally, behindMs: 0 };
}

/** Plain requests, `inFlight` at a time. */
export async function runPlain(target: Target, count: number, inFlight: number): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight });
  const tally = newTally();
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "bench" }] });
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await onePlain(agent, target, body, tally);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  agent.destroy();
  return { ...tally, behindMs: 0 };
}

function headersOf(key: string, body: string): Record<string, string | number> {
  return { authorization: `Bearer ${key}`, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
}

function oneStream(agent: Agent, { port, key }: Target, body: string, intended: number, tally: Tally): Promise<void> {
  tally.requests += 1;
  return new Promise((resolve) => {
    let events = 0;
    let tail = "";
    const over = (isWhole: boolean): void => {
      tally.events += events;
      if (!isWhole) tally.failed += 1;
      resolve();
    };
    const sent = request(
      { agent, port, host: "127.0.0.1", path: "/v1/chat/completions", method: "POST", headers: headersOf(key, body) },
      (response) => {
        response.on("data", (bytes: Buffer) => {
          const now = process.hrtime.bigint();
          if (events === 0) tally.firstEvent.push(performance.now() - intended);
          for (let at = bytes.indexOf(EVENT_END); at >= 0; at = bytes.indexOf(EVENT_END, at + 2)) events += 1;
          if (tally.events % OBSERVED === 0 || events % OBSERVED === 0) observe(bytes, now, tally);
          tail = bytes.toString("latin1", Math.max(0, bytes.length - 16));
        });
        response.on("end", () => over(tail.endsWith("data: [DONE]\n\n")));
        response.on("error", () => over(false));
      },
    );
    sent.on("error", () => over(false));
    sent.end(body);
  });
}

/** The time that the last stamped event of these bytes has travelled. */
function observe(bytes: Buffer, now: bigint, tally: Tally): void {
  const at = bytes.lastIndexOf(STAMP);
  if (at < 0) return;
  const end = bytes.indexOf("@", at + STAMP.length);
  const stamp = bytes.toString("latin1", at + STAMP.length, end);
  if (/^\d+$/.test(stamp)) tally.transit.push(Number(now - BigInt(stamp)) / 1e6);
}

function onePlain(agent: Agent, { port, key }: Target, body: string, tally: Tally): Promise<void> {
  tally.requests += 1;
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const fail = (): void => {
      tally.failed += 1;
      resolve();
    };
    const sent = request(
      { agent, port, host: "127.0.0.1", path: "/v1/chat/completions", method: "POST", headers: headersOf(key, body) },
      (response) => {
        response.resume();
        response.on("end", () => {
          tally.firstEvent.push(performance.now() - startedAt);
          if (response.statusCode === 200) resolve();
          else fail();
        });
        response.on("error", fail);
      },
    );
    sent.on("error", fail);
    sent.end(body);
  });
}
