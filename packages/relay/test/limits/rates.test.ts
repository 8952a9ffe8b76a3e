import OpenAI7 from "openai7";
import { describe, expect, onTestFinished, test } from "vitest";
import { durationText } from "@millrace/wire/duration";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";
import { median, timed } from "../support/timed.ts";
import { customer, gauge, tierForAll, tiers } from "./tiers.ts";

let relay: TestRelay;

async function start(limits: RelaySetup["limits"], upstream: RelaySetup["upstreams"][string] = {}): Promise<void> {
  relay = await relayForTest({ upstreams: { a: upstream }, limits });
}

const PLAIN = { model: "m", messages: MESSAGES };

/** An answer whose true use of tokens is known. */
const COUNTED = { simulator: { scenario: { events: 4, usage: "finish" } } } as const;

function rateHeaders({ headers }: Answer): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("x-ratelimit-")));
}

describe("a limit of requests", () => {
  test("of 60 lets 60 in when ten clients ask at once, and tells the others when to come back", async () => {
    await start(tierForAll({ limits: { rpm: 60 } }));
    const startedAt = performance.now();
    const client = async (): Promise<Answer[]> => {
      const answers: Answer[] = [];
      for (let times = 0; times < 12; times++) answers.push(await call(relay, { body: PLAIN }));
      return answers;
    };
    const answers = (await Promise.all(Array.from({ length: 10 }, client))).flat();
    const tookMs = performance.now() - startedAt;
    expect(answers.filter(({ status }) => status === 200).length).toBe(60);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBe(60);
    expect(relay.simulators["a"]?.counts.requests).toBe(60);
    for (const answer of refused) {
      expect(errorOf(answer)).toMatchObject({ code: "rate_limited", type: "rate_limit_error", param: null });
      expect(errorOf(answer).message).toContain("account rpm is 60");
      const seconds = Number(answer.headers["retry-after"]);
      const ms = Number(answer.headers["retry-after-ms"]);
      expect(Number.isInteger(seconds) && seconds <= 60 && seconds === Math.ceil(ms / 1000)).toBe(true);
      expect(ms).toBeGreaterThan(60_000 - tookMs);
      expect(answer.headers["x-should-retry"]).toBeUndefined();
    }
    expect(relay.app.metrics.render()).toContain('millrace_refusals_total{code="rate_limited"} 60');
  });

  test("is told on every answer, the good ones and those that fail for another reason", async () => {
    await start(tierForAll({ limits: { rpm: 5, tpm: 40_000 } }), COUNTED);
    const models = await call(relay, { path: "/v1/models", method: "GET", body: null });
    expect(rateHeaders(models)).toEqual({
      "x-ratelimit-limit-requests": "5",
      "x-ratelimit-remaining-requests": "5",
      "x-ratelimit-reset-requests": "0s",
      "x-ratelimit-limit-tokens": "40000",
      "x-ratelimit-remaining-tokens": "40000",
      "x-ratelimit-reset-tokens": "0s",
    });
    const unknown = await call(relay, { body: { ...PLAIN, model: "nobody's" } });
    expect(unknown.status).toBe(404);
    expect(rateHeaders(unknown)).toMatchObject({ "x-ratelimit-remaining-requests": "5" });
    for (const isStream of [true, false]) {
      const answer = await call(relay, { body: { ...PLAIN, stream: isStream } });
      expect(answer.status).toBe(200);
      expect(rateHeaders(answer)).toMatchObject({
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": isStream ? "4" : "3",
        "x-ratelimit-reset-requests": expect.stringMatching(/^(1m[01]s|59s)$/) as string,
        "x-ratelimit-reset-tokens": expect.stringMatching(/^(1m[01]s|59s)$/) as string,
      });
    }
    for (let times = 0; times < 3; times++) await call(relay, { body: PLAIN });
    const refused = await call(relay, { body: PLAIN });
    expect(refused.status).toBe(429);
    expect(rateHeaders(refused)).toMatchObject({ "x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "0" });
  });

  test("is told on answers of an upstream's error", async () => {
    await start(tierForAll({ limits: { rpm: 5 } }), {
      simulator: { scenario: { fault: { kind: "status", status: 503 } } },
    });
    const failed = await call(relay);
    expect(failed.status).toBe(502);
    expect(rateHeaders(failed)).toMatchObject({ "x-ratelimit-remaining-requests": "4" });
  });

  test("is not spoken of where there is none", async () => {
    await start(undefined);
    const answer = await call(relay, { body: PLAIN });
    expect(answer.status).toBe(200);
    expect(rateHeaders(answer)).toEqual({});
    expect(gauge(relay, "millrace_limited_subjects")).toBe(0);
  });

  test("that one account has used up does not slow another one", async () => {
    await start(tiers({ free: { limits: { rpm: 5, inFlight: 1 } }, paid: { limits: { rpm: 100_000 } } }));
    const [greedy, patient] = [await customer(relay, "free"), await customer(relay, "paid")];
    const direct = await startSimulator({});
    onTestFinished(() => direct.close());
    let isOver = false;
    const flood = async (): Promise<number> => {
      let refused = 0;
      while (!isOver) if ((await call(greedy, { body: PLAIN })).status === 429) refused += 1;
      return refused;
    };
    const floods = [flood(), flood(), flood(), flood()];
    const times: number[] = [];
    const directTimes: number[] = [];
    for (let i = 0; i < 40; i++) {
      directTimes.push(await timed(() => call({ port: direct.port, key: "" }, { body: PLAIN })));
      const answer = call(patient, { body: PLAIN });
      times.push(await timed(() => answer));
      expect((await answer).status).toBe(200);
    }
    isOver = true;
    const refused = (await Promise.all(floods)).reduce((sum, each) => sum + each, 0);
    expect(refused).toBeGreaterThan(40);
    expect(median(times)).toBeLessThan(50 + 5 * median(directTimes));
    expect(relay.simulators["a"]?.counts.requests).toBe(45);
  });
});

describe("a limit of tokens", () => {
  test("reserves an estimate and is put right when the answer is over", async () => {
    await start(tierForAll({ limits: { tpm: 4_000 } }), { simulator: { scenario: { events: 60, ratePerSecond: 100, usage: "finish" } } });
    let during = "";
    const answer = call(relay);
    await until(() => gauge(relay, "millrace_limited_in_flight") === 1);
    during = String((await call(relay, { path: "/v1/models", method: "GET", body: null })).headers["x-ratelimit-remaining-tokens"]);
    await answer;
    const row = await relay.row();
    const used = Number(row["input_tokens"]) + Number(row["output_tokens"]);
    const after = await call(relay, { path: "/v1/models", method: "GET", body: null });
    expect(row).toMatchObject({ basis: "exact" });
    expect(Number(during)).toBeLessThanOrEqual(3_000);
    expect(after.headers["x-ratelimit-remaining-tokens"]).toBe(String(4_000 - used));
  });

  test("stops the next request when answers were longer than thought", async () => {
    await start(tierForAll({ limits: { tpm: 100 } }), { simulator: { scenario: { events: 200, usage: "finish" } } });
    expect((await call(relay)).status).toBe(200);
    const refused = await call(relay);
    expect(refused.status).toBe(429);
    expect(errorOf(refused).message).toContain("account tpm is 100");
    expect(refused.headers).toMatchObject({ "x-ratelimit-limit-tokens": "100", "x-ratelimit-remaining-tokens": "0" });
  });

  test("gives everything back when no upstream worked on the request", async () => {
    await start(tierForAll({ limits: { tpm: 5_000 } }), {
      simulator: { scenario: { fault: { kind: "status", status: 503 } } },
    });
    expect((await call(relay)).status).toBe(502);
    const after = await call(relay, { path: "/v1/models", method: "GET", body: null });
    expect(after.headers["x-ratelimit-remaining-tokens"]).toBe("5000");
  });

  test("is not asked for again by a client whose request alone is too large", async () => {
    await start(tierForAll({ limits: { tpm: 50 } }));
    const client = new OpenAI7({ baseURL: `${relay.url}/v1`, apiKey: relay.key, maxRetries: 2 });
    const long = client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "word ".repeat(500) }] });
    const error = await long.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(OpenAI7.RateLimitError);
    expect((error as InstanceType<typeof OpenAI7.RateLimitError>).headers?.get("x-should-retry")).toBe("false");
    expect(relay.app.metrics.render()).toContain('millrace_refusals_total{code="rate_limited"} 1');
  });
});

describe("the stock SDK", () => {
  test("waits for as long as the header says and then succeeds", async () => {
    await start(tierForAll({ limits: { inFlight: 1 } }), { simulator: { scenario: { events: 30, ratePerSecond: 100 } } });
    const client = new OpenAI7({ baseURL: `${relay.url}/v1`, apiKey: relay.key, maxRetries: 2 });
    const first = call(relay);
    await until(() => gauge(relay, "millrace_limited_in_flight") === 1);
    const askedAt = performance.now();
    const answer = await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Say something." }] });
    expect(performance.now() - askedAt).toBeGreaterThan(990);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect((await first).status).toBe(200);
  });

  test("raises RateLimitError with the code and the limit's name when it may not retry", async () => {
    await start(tierForAll({ limits: { rpm: 1 } }));
    const client = new OpenAI7({ baseURL: `${relay.url}/v1`, apiKey: relay.key, maxRetries: 0 });
    const ask = () => client.chat.completions.create({ model: "m", stream: true, messages: [{ role: "user", content: "Say something." }] });
    for await (const chunk of await ask()) expect(chunk.object).toBe("chat.completion.chunk");
    const error = (await ask().catch((caught: unknown) => caught)) as InstanceType<typeof OpenAI7.RateLimitError>;
    expect(error).toBeInstanceOf(OpenAI7.RateLimitError);
    expect(error).toMatchObject({ status: 429, code: "rate_limited", type: "rate_limit_error" });
    expect(error.message).toContain("account rpm");
  });
});

describe("a tier", () => {
  test("keeps its accounts to its models", async () => {
    await start(tiers({ free: { models: ["other"] }, paid: {} }));
    const [free, paid] = [await customer(relay, "free"), await customer(relay, "paid")];
    const refused = await call(free, { body: PLAIN });
    expect([refused.status, errorOf(refused).code, errorOf(refused).param]).toEqual([403, "model_not_allowed", "model"]);
    expect((await call(paid, { body: PLAIN })).status).toBe(200);
    const list = async (who: typeof free): Promise<unknown> =>
      (JSON.parse((await call(who, { path: "/v1/models", method: "GET", body: null })).body) as { data: unknown[] }).data.length;
    expect([await list(free), await list(paid)]).toEqual([0, 1]);
  });

  test("may limit one model more than the others", async () => {
    await start(tierForAll({ limits: { rpm: 100 }, perModel: new Map([["m", { rpm: 1 }]]) }));
    expect((await call(relay, { body: PLAIN })).status).toBe(200);
    const refused = await call(relay, { body: PLAIN });
    expect(errorOf(refused).message).toContain("account model rpm is 1");
    expect(refused.headers).toMatchObject({ "x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0" });
  });

  test("that is no longer configured lets nobody in when there is no default", async () => {
    await start(tiers({ free: {} }));
    const refused = await call(await customer(relay, "gold"), { body: PLAIN });
    expect([refused.status, errorOf(refused).code, refused.headers["x-should-retry"]]).toEqual([503, "overloaded", "false"]);
  });
});

test("durations are written as OpenAI writes them, rounded up", async () => {
  await start(undefined);
  expect([0, 0.2, 120, 999.5, 1_000, 1_001, 59_001, 60_000, 60_500, 360_000].map(durationText)).toEqual([
    "0s",
    "1ms",
    "120ms",
    "1s",
    "1s",
    "2s",
    "1m0s",
    "1m0s",
    "1m1s",
    "6m0s",
  ]);
});
