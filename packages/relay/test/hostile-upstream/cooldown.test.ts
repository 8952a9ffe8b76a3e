import { expect, test } from "vitest";
import type { RawAnswer } from "../../src/simulator/scenario.ts";
import type { SeenRequest } from "../../src/simulator/seen-request.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { gauge } from "./guards.ts";

let relay: TestRelay;

async function start(upstreams: RelaySetup["upstreams"]): Promise<void> {
  relay = await relayForTest({ upstreams });
}

const QUOTA =
  '{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}';
const SLOW_DOWN = '{"error":{"message":"Rate limit reached.","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}';

function refusal(status: number, headers: Readonly<Record<string, string>>, body = SLOW_DOWN, afterMs = 0): { raw: RawAnswer } {
  const pieces = [{ bytes: Buffer.from(body), afterMs }];
  return { raw: { status, headers: { "content-type": "application/json", ...headers }, body: pieces, end: "clean" } };
}

async function cooldownOf(upstream: string): Promise<number> {
  return (await gauge(relay, "millrace_upstream_cooldown_seconds"))[`{upstream="${upstream}"}`] ?? Number.NaN;
}

const DATE_IN_20_S = (): string => new Date(Date.now() + 20_000).toUTCString();

/** What an upstream says, and between which seconds it is then left alone. */
const HINTS: readonly (readonly [name: string, headers: () => Record<string, string>, least: number, most: number])[] = [
  ["seconds", () => ({ "retry-after": "30" }), 28, 30],
  ["a fraction of seconds", () => ({ "retry-after": "7.5" }), 6, 7.5],
  ["a date", () => ({ "retry-after": DATE_IN_20_S() }), 17, 20],
  ["a date that has passed", () => ({ "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }), 0, 0],
  ["milliseconds", () => ({ "retry-after-ms": "4500" }), 3, 4.5],
  ["milliseconds beside rounder seconds", () => ({ "retry-after-ms": "4500", "retry-after": "60" }), 3, 4.5],
  ["nothing", () => ({}), 0, 1],
  ["zero", () => ({ "retry-after": "0" }), 0, 0],
  ["a year of seconds", () => ({ "retry-after": "31536000" }), 3_590, 3_600],
  ["more digits than a number holds", () => ({ "retry-after": "9".repeat(400) }), 0, 1],
  ["a date of the far future", () => ({ "retry-after": "Fri, 31 Dec 9999 23:59:59 GMT" }), 3_590, 3_600],
  ["a negative number", () => ({ "retry-after": "-30" }), 0, 1],
  ["words", () => ({ "retry-after": "when the moon is full" }), 0, 1],
  ["infinity", () => ({ "retry-after-ms": "Infinity", "retry-after": "NaN" }), 0, 1],
];

test.each(HINTS)("429 with %s: the upstream is left alone for as long, an hour at most", async (_name, headers, least, most) => {
  await start({ a: { simulator: { scenario: refusal(429, headers()) } } });
  const answer = await call(relay);
  const seconds = await cooldownOf("a");
  expect(seconds).toBeGreaterThanOrEqual(least);
  expect(seconds).toBeLessThanOrEqual(most);
  expect(answer.status).toBe(429);
  const told = Number(answer.headers["retry-after"]);
  expect(told).toBeGreaterThanOrEqual(1);
  expect(told).toBeLessThanOrEqual(60);
  expect(Number(answer.headers["retry-after-ms"])).toBe(told * 1000);
});

test.each([
  [529, {}, "throttled"],
  [503, { "retry-after": "9" }, "throttled"],
  [503, {}, "failed"],
  [500, { "retry-after": "9" }, "failed"],
] as const)("status %i with headers %o counts as %s", async (status, headers, outcome) => {
  await start({ a: { simulator: { scenario: refusal(status, headers) } } });
  const answer = await call(relay);
  expect(answer.status).toBe(outcome === "throttled" ? 429 : 502);
  await relay.row();
  expect(relay.rows("attempts")).toMatchObject([{ outcome, status }]);
  expect((await cooldownOf("a")) > 0).toBe(outcome === "throttled");
});

test("a later, shorter hint never shortens the first", async () => {
  const script = (request: SeenRequest): { raw: RawAnswer } =>
    request.bodyText.includes("first") ? refusal(429, { "retry-after": "50" }) : refusal(429, { "retry-after": "1" }, SLOW_DOWN, 150);
  await start({ a: { simulator: { script } } });
  const ask = (name: string): ReturnType<typeof call> => call(relay, { body: { model: "m", stream: true, messages: MESSAGES, x: name } });
  const second = ask("second");
  await new Promise((resolve) => setTimeout(resolve, 30));
  await ask("first");
  await second;
  expect(relay.simulators["a"]?.counts.requests).toBe(2);
  expect(await cooldownOf("a")).toBeGreaterThan(45);
});

test("an empty account said as 429 is no throttle: the next upstream answers, alone it is a 502 that no client repeats", async () => {
  await start({
    a: { simulator: { scenario: refusal(429, { "retry-after": "2" }, QUOTA) } },
    b: { simulator: { scenario: { text: "b" } } },
  });
  expect(readStream(await call(relay)).choices[0]?.text).toBe("b");
  await relay.row();
  expect(relay.rows("attempts")).toMatchObject([{ outcome: "credential", status: 429 }, { outcome: "ok" }]);
  await relay.close();
  await start({ a: { simulator: { scenario: refusal(429, {}, QUOTA) } } });
  const answer = await call(relay);
  expect([answer.status, errorOf(answer).code, answer.headers["x-should-retry"]]).toEqual([502, "upstream_failed", "false"]);
  const again = await call(relay);
  expect([again.status, errorOf(again).code]).toEqual([503, "no_upstream"]);
  expect(relay.simulators["a"]?.counts.requests).toBe(1);
});

test("when all upstreams throttle the client hears the smallest of their times", async () => {
  await start({
    a: { simulator: { scenario: refusal(429, { "retry-after": "40" }) } },
    b: { simulator: { scenario: refusal(529, { "retry-after": "12" }) } },
    c: { simulator: { scenario: refusal(503, { "retry-after": "3000" }) } },
  });
  for (let i = 0; i < 3; i++) {
    const answer = await call(relay);
    expect([answer.status, errorOf(answer).code]).toEqual([429, "rate_limited"]);
    expect(Number(answer.headers["retry-after"])).toBeLessThanOrEqual(12);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(11);
  }
  expect(Object.values(relay.simulators).map((each) => each.counts.requests)).toEqual([1, 1, 1]);
});

test("an upstream that has rested is asked again", async () => {
  await start({ a: { simulator: { scenario: refusal(429, { "retry-after-ms": "200" }) } } });
  expect((await call(relay)).status).toBe(429);
  relay.simulators["a"]?.setScenario({ text: "rested" });
  expect((await call(relay)).status).toBe(429);
  await new Promise((resolve) => setTimeout(resolve, 220));
  expect(readStream(await call(relay)).choices[0]?.text).toBe("rested");
});
