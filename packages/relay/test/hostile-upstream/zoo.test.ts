import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SeenRequest } from "../../src/simulator/seen-request.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { eventually, expectAtRest, guard } from "./guards.ts";
import type { Guard } from "./guards.ts";
import { TEXT_A, ZOO } from "./zoo-table.ts";
import type { Expected, ZooCase } from "./zoo-table.ts";

const TEXT_B = "The whole answer of the second upstream.";
/** Of the relay that meets the upstreams whose time runs out; the others meet one whose time-outs no busy machine reaches. */
const SHORT_TIMEOUTS = { connectMs: 2_000, firstEventMs: 700, payloadIdleMs: 700, transportIdleMs: 700, totalMs: 3_000 };
const LONG_TIMEOUTS = { connectMs: 30_000, firstEventMs: 30_000, payloadIdleMs: 30_000, transportIdleMs: 30_000, totalMs: 60_000 };
/** Every client has its answer, or its error, by then. */
const DEADLINE_MS = 8_000;
const AT_ONCE = 12;

/** Upstream `a` answers as the request's `x_case` says, so that one relay meets all of them, many at once. */
function scripted(request: SeenRequest): ZooCase["scenario"] {
  const named = (request.json as { x_case?: string } | undefined)?.x_case;
  return ZOO.find((each) => each.name === named)?.scenario ?? { text: TEXT_A };
}

/** Whether its time runs out, as a stream or as a plain answer. */
function isLate(each: ZooCase): boolean {
  return [each.stream, each.plain].some(
    (expected) => expected.kind !== "whole" && (expected.code === "upstream_timeout" || expected.code === "upstream_stalled"),
  );
}

function setup(isAlone: boolean, timeouts: typeof SHORT_TIMEOUTS): RelaySetup {
  const a = { timeouts, simulator: { script: scripted } };
  const b = { simulator: { scenario: { text: TEXT_B } } };
  return { upstreams: isAlone ? { a } : { a, b }, sizes: { answerBytesMax: 3 * 1024 * 1024 } };
}

interface Outcome {
  readonly answer: Answer;
  readonly tookMs: number;
  readonly row: Record<string, unknown>;
  readonly attempts: Record<string, unknown>[];
}

async function meet(relay: TestRelay, each: ZooCase, isStream: boolean): Promise<Outcome> {
  const startedAt = performance.now();
  const answer = await call(relay, { body: { model: "m", stream: isStream, messages: MESSAGES, x_case: each.name } });
  const tookMs = performance.now() - startedAt;
  const id = answer.headers["x-request-id"];
  const found: Record<string, unknown>[] = [];
  await eventually(() => {
    found.push(...relay.rows("requests").filter((row) => row["id"] === id));
    expect(found.length).toBeGreaterThan(0);
  });
  const attempts = relay.rows("attempts").filter((row) => row["request_id"] === id);
  return { answer, tookMs, row: found[0] ?? {}, attempts };
}

function textOf(answer: Answer, isStream: boolean): string | undefined {
  if (isStream) return readStream(answer).choices[0]?.text;
  return (JSON.parse(answer.body) as { choices: { message: { content: string } }[] }).choices[0]?.message.content;
}

function expectWhole(answer: Answer, isStream: boolean, text: string | null): void {
  expect(answer).toMatchObject({ status: 200, isWhole: true });
  if (isStream) {
    expect(answer.body.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(readStream(answer).outcome).toBe("complete");
  }
  if (text !== null) expect(textOf(answer, isStream)).toBe(text);
}

function expectRefused(answer: Answer, expected: Extract<Expected, { kind: "refused" }>): void {
  expect({ status: answer.status, isWhole: answer.isWhole }).toEqual({ status: expected.status, isWhole: true });
  expect(answer.headers["content-type"]).toBe("application/json");
  expect(answer.body).not.toContain("[DONE]");
  expect(errorOf(answer)).toMatchObject({ code: expected.code, request_id: answer.headers["x-request-id"] });
  if (expected.status === 429) expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
}

function expectCut(answer: Answer, expected: Extract<Expected, { kind: "cut" }>, isStream: boolean): void {
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(answer.body).not.toContain("[DONE]");
  if (!isStream) return;
  expect(errorOf(answer)).toMatchObject({ code: expected.code, type: "server_error" });
  expect(readStream(answer).outcome).toBe("error");
}

function expectAlone(each: ZooCase, isStream: boolean, seen: Outcome): void {
  const expected = isStream ? each.stream : each.plain;
  const { answer, row, attempts } = seen;
  if (expected.kind === "whole") {
    expectWhole(answer, isStream, each.hasOwnText === true ? null : TEXT_A);
    expect(attempts).toMatchObject([{ upstream: "a", outcome: "ok" }]);
    expect(row).toMatchObject({ status: 200, end_reason: "complete", upstream: "a" });
  } else if (expected.kind === "refused") {
    expectRefused(answer, expected);
    expect(attempts).toMatchObject([{ upstream: "a", outcome: expected.outcome }]);
    expect(row).toMatchObject({ status: expected.status, upstream: "a", basis: "none" });
  } else {
    expectCut(answer, expected, isStream);
    expect(attempts).toMatchObject([{ upstream: "a", outcome: expected.code }]);
    expect(row).toMatchObject({ status: 200, end_reason: expected.code, error_code: expected.code });
  }
}

function expectWithFallback(each: ZooCase, isStream: boolean, seen: Outcome): void {
  const expected = isStream ? each.stream : each.plain;
  if (expected.kind !== "refused" || expected.isFinal) return expectAlone(each, isStream, seen);
  expectWhole(seen.answer, isStream, TEXT_B);
  expect(seen.answer.headers["x-millrace-upstream"]).toBe("b");
  expect(seen.answer.headers["x-millrace-attempts"]).toBe("2");
  expect(seen.attempts).toMatchObject([
    { n: 1, upstream: "a", outcome: expected.outcome },
    { n: 2, upstream: "b", outcome: "ok" },
  ]);
  expect(seen.row).toMatchObject({ status: 200, end_reason: "complete", upstream: "b" });
}

/** Runs the cases, some at once; the outcome of each is kept for the test of its name. */
async function runAll(relay: TestRelay, cases: readonly ZooCase[], isStream: boolean): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const left = [...cases];
  const worker = async (): Promise<void> => {
    for (let each = left.shift(); each !== undefined; each = left.shift()) outcomes.set(each.name, await meet(relay, each, isStream));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return outcomes;
}

async function runApart(cases: readonly ZooCase[], isAlone: boolean, isStream: boolean): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  for (const each of cases) {
    const relay = await startRelay(setup(isAlone, LONG_TIMEOUTS));
    outcomes.set(each.name, await meet(relay, each, isStream));
    await relay.close();
  }
  return outcomes;
}

const watch: Guard = guard();
afterAll(() => watch.stop());
afterEach(() => watch.check());

const SETUPS = [
  { title: "a stream with no other upstream", isAlone: true, isStream: true, check: expectAlone },
  { title: "a stream with a healthy second upstream", isAlone: false, isStream: true, check: expectWithFallback },
  { title: "a plain answer with no other upstream", isAlone: true, isStream: false, check: expectAlone },
  { title: "a plain answer with a healthy second upstream", isAlone: false, isStream: false, check: expectWithFallback },
] as const;

describe.each(SETUPS)("$title", ({ isAlone, isStream, check }) => {
  let patient: TestRelay;
  let hurried: TestRelay;
  let outcomes = new Map<string, Outcome>();
  beforeAll(async () => {
    patient = await startRelay(setup(isAlone, LONG_TIMEOUTS));
    hurried = await startRelay(setup(isAlone, SHORT_TIMEOUTS));
    const shared = ZOO.filter((each) => each.ownRelay !== true);
    const [late, punctual] = [shared.filter(isLate), shared.filter((each) => !isLate(each))];
    const own = ZOO.filter((each) => each.ownRelay === true);
    outcomes = new Map([
      ...(await runAll(patient, punctual, isStream)),
      ...(await runAll(hurried, late, isStream)),
      ...(await runApart(own, isAlone, isStream)),
    ]);
  }, 120_000);
  afterAll(() => Promise.all([patient.close(), hurried.close()]));

  test.each(ZOO.map((each) => ({ name: each.name, each })))("upstream gives $name", ({ name, each }) => {
    const seen = outcomes.get(name);
    if (seen === undefined) throw new Error("there is no outcome");
    check(each, isStream, seen);
    expect(seen.tookMs).toBeLessThan(DEADLINE_MS);
  });

  test("afterwards nothing is in flight and the relay answers as on its first day", async () => {
    const ask = (relay: TestRelay): Promise<Answer> => call(relay, { body: { model: "m", stream: isStream, messages: MESSAGES } });
    for (const answer of await Promise.all(Array.from({ length: 50 }, () => ask(patient)))) expectWhole(answer, isStream, TEXT_A);
    for (let times = 0; times < 20; times++) expectWhole(await ask(hurried), isStream, TEXT_A);
    await expectAtRest(patient, watch);
    await expectAtRest(hurried, watch);
  });
});

test("the zoo has every fault that the simulator knows", async () => {
  const { FAULT_FORMS } = await import("../../src/simulator/fault-spec.ts");
  const kinds = new Set(ZOO.map((each) => each.scenario.fault?.kind));
  const known = FAULT_FORMS.map((form) => form.split(/[=[]/)[0] ?? "").filter(
    (name) => name !== "hang-headers-then" && name !== "400..599",
  );
  expect(known.filter((name) => !kinds.has(name as never))).toEqual([]);
});
