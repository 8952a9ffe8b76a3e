/**
 * Reloads under load: a relay of its own process with 200 streams and 100 requests a second, whose file is replaced 50 times, by good
 * and bad ones in turn. The good ones take turns at two contents that share no upstream and no price.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { ADMIN_TOKEN } from "../support/admin-token.ts";
import { call, MESSAGES, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";

const STREAMS = 200;
const RELOADS = 50;
const REQUESTS_PER_SECOND = 100;
const RELOAD_EVERY_MS = 150;
/** Of each of the streams: it runs longer than the reloads do. */
const TEXT = Array.from({ length: 19 }, (_, at) => `word${at}`).join(" ");
const EVENTS_PER_SECOND = 2;

const NAMES = ["north", "south"] as const;
type Name = (typeof NAMES)[number];
/** USD per million tokens, the same for input and output: so a row's cost tells its content. */
const COSTS: Readonly<Record<Name, string>> = { north: "1", south: "3" };

function contentOf(name: Name, simulator: Simulator): object {
  const cost = { input: COSTS[name], cached_input: "same", output: COSTS[name] };
  return {
    upstreams: { [name]: { provider: "openai-compatible", base_url: simulator.url, max_in_flight: 1_000, costs: { m: cost } } },
    models: { m: { upstreams: [{ upstream: name, model: "m" }] } },
  };
}

interface Reloaded {
  readonly status: number;
  readonly revision: number;
}

/** Replaces the file as a deployment does, and says so. */
async function reload(relay: RelayProcess, text: string): Promise<Reloaded> {
  const file = join(relay.dataDir, "config.json");
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
  const answer = await call({ port: relay.port, key: ADMIN_TOKEN }, { path: "/admin/api/reload", body: null });
  const { revision = 0 } = JSON.parse(answer.body) as { revision?: number };
  return { status: answer.status, revision };
}

/** Asks at a steady rate until told to stop. */
function askSteadily(relay: RelayProcess): { stop(): Promise<Answer[]> } {
  const asked: Promise<Answer>[] = [];
  const timer = setInterval(
    () => asked.push(call(relay, { body: { model: "m", stream: false, messages: MESSAGES } })),
    1_000 / REQUESTS_PER_SECOND,
  );
  return {
    stop: () => {
      clearInterval(timer);
      return Promise.all(asked);
    },
  };
}

/** Streams that have all begun. */
async function openStreams(relay: RelayProcess): Promise<Promise<Answer>[]> {
  const begun: Promise<void>[] = [];
  const streams = Array.from({ length: STREAMS }, () => {
    let onBytes = (): void => undefined;
    begun.push(new Promise((resolve) => (onBytes = resolve)));
    return call(relay, { onBytes: () => onBytes() });
  });
  await Promise.all(begun);
  return streams;
}

const BAD = ["{ not: yaml: at all", JSON.stringify({ upstreams: { x: {} }, modles: 1 })];

interface Turns {
  readonly refused: number[];
  readonly contentOf: ReadonlyMap<number, Name>;
}

/** Good and bad files in turn; the good ones take turns at the two contents. */
async function takeTurns(relay: RelayProcess, contents: Readonly<Record<Name, object>>): Promise<Turns> {
  const contentOf = new Map<number, Name>([[1, "north"]]);
  const refused: number[] = [];
  for (let turn = 0; turn < RELOADS; turn++) {
    const pause = sleep(RELOAD_EVERY_MS);
    const name = NAMES[(turn / 2 + 1) % 2] ?? null;
    const { status, revision } = await reload(relay, name === null ? (BAD[((turn - 1) / 2) % 2] ?? "") : JSON.stringify(contents[name]));
    if (name === null) refused.push(status);
    else contentOf.set(revision, name);
    await pause;
  }
  return { refused, contentOf };
}

/** What of a row is not of the content that its revision had. */
function isMixed(row: Record<string, unknown>, contentOf: ReadonlyMap<number, Name>): boolean {
  const name = contentOf.get(Number(row["revision"]));
  if (name === undefined) return true;
  const tokens = Number(row["input_tokens"]) + Number(row["output_tokens"]);
  return row["upstream"] !== name || Number(row["cost_nanos"]) !== tokens * Number(COSTS[name]) * 1_000;
}

test("50 reloads of good and bad files change no stream, fail no request, and mix no revision into another", async () => {
  const scenario = { text: TEXT, ratePerSecond: EVENTS_PER_SECOND, plainMs: 5 };
  const [north, south] = [await startSimulator({ scenario }), await startSimulator({ scenario })];
  const contents = { north: contentOf("north", north), south: contentOf("south", south) };
  const relay = await startRelayProcess(contents.north);
  const streams = await openStreams(relay);
  const steady = askSteadily(relay);
  const turns = await takeTurns(relay, contents);
  const [answers, streamed] = [await steady.stop(), (await Promise.all(streams)).map(readStream)];
  const rows = relay.rows();
  await Promise.all([relay.close(), north.close(), south.close()]);

  expect(turns.refused).toEqual(Array.from({ length: RELOADS / 2 }, () => 400));
  expect([...turns.contentOf.keys()]).toEqual(Array.from({ length: RELOADS / 2 + 1 }, (_, at) => at + 1));
  expect(streamed.filter(({ outcome, sawDone }) => outcome !== "complete" || !sawDone)).toEqual([]);
  expect(new Set(streamed.map(({ choices }) => choices[0]?.text))).toEqual(new Set([TEXT]));
  expect(answers.filter(({ status }) => status !== 200).map(({ body }) => body)).toEqual([]);
  expect(rows.length).toBe(STREAMS + answers.length);
  expect(rows.filter((row) => isMixed(row, turns.contentOf))).toEqual([]);
  expect(new Set(rows.filter((row) => row["stream"] === 1).map((row) => row["revision"]))).toEqual(new Set([1]));
}, 60_000);
