import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SeenRequest } from "../../src/simulator/seen-request.ts";
import { call } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { eventually } from "./guards.ts";
import { ANSWER, PROMPT, SECRET_CASES, UPSTREAM_KEY } from "./secret-cases.ts";
import type { SecretCase } from "./secret-cases.ts";

interface Asked {
  readonly each: SecretCase;
  readonly isStream: boolean;
}

interface Told extends Asked {
  readonly answer: Answer;
}

function scripted(request: SeenRequest): SecretCase["scenario"] | undefined {
  const named = (request.json as { x_case?: string } | undefined)?.x_case;
  return SECRET_CASES.find((each) => each.name === named)?.scenario;
}

/** Some answers take their upstream out for a while: each of them needs a relay of its own. */
function takesUpstreamOut({ scenario }: SecretCase): boolean {
  const status = scenario.raw?.status ?? (scenario.fault?.kind === "echo" ? scenario.fault.status : undefined);
  return [401, 402, 403, 429, 503].includes(status ?? 200);
}

const AT_ONCE = 4;

/** Asks one relay for all these cases, some at once, and keeps the answers and every place where a secret could have been left. */
async function tell(title: string, cases: readonly Asked[]): Promise<void> {
  const relay: TestRelay = await startRelay({
    upstreams: { a: { apiKey: UPSTREAM_KEY, simulator: { script: scripted } } },
    logLevel: "debug",
  });
  await inTurns(AT_ONCE, cases, async ({ each, isStream }) => {
    const body = { model: "m", stream: isStream, messages: [{ role: "user", content: PROMPT }], x_case: each.name };
    told.push({ each, isStream, answer: await call(relay, { body }) });
  });
  await eventually(() => expect(relay.rows("requests").length).toBe(cases.length));
  await eventually(() => expect(relay.logLines.length).toBeGreaterThan(0));
  const metrics = await call(relay, { path: "/metrics", method: "GET", body: null });
  for (const [number, line] of relay.logLines.entries()) places.set(`log line ${number} of ${title}`, line);
  places.set(`metrics of ${title}`, metrics.body);
  for (const file of readdirSync(relay.dataDir)) {
    places.set(`${file} of ${title}`, readFileSync(join(relay.dataDir, file), "latin1"));
  }
  keys.push(relay.key);
  const seen = relay.simulators["a"]?.seen ?? [];
  expect(seen.length).toBeGreaterThanOrEqual(cases.length);
  expect(new Set(seen.map((request) => request.headers.authorization))).toEqual(new Set([`Bearer ${UPSTREAM_KEY}`]));
  expect(JSON.stringify(seen.map((request) => request.rawHeaders))).not.toContain(relay.key);
  await relay.close();
}

/** Does one thing for each item, `atOnce` items at a time. */
async function inTurns<Item>(atOnce: number, items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await act(next);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const keys: string[] = [];
const places = new Map<string, string>();
const told: Told[] = [];

beforeAll(async () => {
  const asked: Asked[] = SECRET_CASES.flatMap((each) => [
    { each, isStream: true },
    { each, isStream: false },
  ]);
  await tell(
    "the relay of all other cases",
    asked.filter(({ each }) => !takesUpstreamOut(each)),
  );
  const apart = asked.filter(({ each }) => takesUpstreamOut(each));
  await inTurns(AT_ONCE, apart, (one) => tell(`${one.isStream ? "stream" : "plain"}, ${one.each.name}`, [one]));
}, 180_000);

afterAll(() => places.clear());

function holders(words: readonly string[]): string[] {
  return [...places].filter(([, text]) => words.some((word) => text.includes(word))).map(([place]) => place);
}

/** The same with a database that takes no rows, so that they go to the spool file. */
async function tellWithoutDatabase(): Promise<string> {
  const relay = await startRelay({ upstreams: { a: { apiKey: UPSTREAM_KEY, simulator: { script: scripted } } } });
  const lock = new DatabaseSync(join(relay.dataDir, "millrace.db"));
  lock.exec("BEGIN IMMEDIATE");
  const names = ["the key in every member of error 500", "the key within its request id", "the key in an error event after content"];
  const asked = names.map((name) =>
    call(relay, { body: { model: "m", stream: true, messages: [{ role: "user", content: PROMPT }], x_case: name } }),
  );
  let spool = "";
  await eventually(() => {
    spool = readFileSync(join(relay.dataDir, "spool"), "latin1");
    expect(spool.split("\n").length).toBe(names.length);
  });
  await Promise.all(asked);
  lock.exec("ROLLBACK");
  lock.close();
  await relay.close();
  return spool;
}

describe("whatever an upstream hands back", () => {
  test("our key at the upstream never reaches a client, in headers or body", () => {
    const leaks = told.filter(({ answer }) => (JSON.stringify(answer.headers) + answer.body).includes(UPSTREAM_KEY));
    expect(leaks.map(({ each, isStream }) => `${isStream ? "stream" : "plain"}: ${each.name}`)).toEqual([]);
    expect(told.length).toBe(2 * SECRET_CASES.length);
  });

  test("our key at the upstream is in no log line, no metric and no file", () => {
    expect(holders([UPSTREAM_KEY])).toEqual([]);
    expect([...places.keys()].some((place) => place.startsWith("millrace.db-wal"))).toBe(true);
  });

  test("no prompt and no answer is in a log line, a metric or a file", () => {
    expect(holders([PROMPT, ANSWER])).toEqual([]);
  });

  test("rows in the spool file hold neither", async () => {
    const spool = await tellWithoutDatabase();
    expect(spool).toContain('"upstream":"a"');
    for (const word of [UPSTREAM_KEY, PROMPT, ANSWER, "canary"]) expect(spool).not.toContain(word);
  });

  test("a client's own key is in no log line, no metric and no file", () => {
    expect(holders(keys)).toEqual([]);
  });

  test("answers that hold our key still arrive whole, with the key struck out", () => {
    const whole = told.filter(({ each }) => /^the key cut by a packet|^a large answer|^echo$/.test(each.name));
    for (const { each, isStream, answer } of whole) {
      const isForOther = isStream === each.name.startsWith("a large") || (!isStream && each.name.startsWith("the key cut"));
      if (isForOther) continue;
      expect([each.name, answer.status, answer.isWhole]).toEqual([each.name, 200, true]);
      expect(answer.body).toContain("*".repeat(UPSTREAM_KEY.length));
    }
  });
});
