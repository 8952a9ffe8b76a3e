import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ChatParts } from "../../src/chat/answer.ts";
import { STREAM_TIMES } from "../../src/chat/client-delivery.ts";
import { DrainBudget } from "../../src/chat/drain-budget.ts";
import type { Exchange } from "../../src/chat/exchange.ts";
import { Runs } from "../../src/chat/runs.ts";
import { snapshotOf } from "../../src/chat/snapshot.ts";
import type { Snapshot } from "../../src/chat/snapshot.ts";
import { Ticker } from "../../src/chat/ticker.ts";
import type { Ticking } from "../../src/chat/ticker.ts";
import { readJsonBody, BodyBudget } from "../../src/edge/body.ts";
import { CHAT_DIALECT } from "../../src/edge/chat-dialect.ts";
import { HttpSink } from "../../src/edge/http-sink.ts";
import { Metrics } from "../../src/insight/metrics.ts";
import { PinnedPrices } from "../../src/prices/pinned.ts";
import { providerOf } from "../../src/provider/registry.ts";
import { Health } from "../../src/upstream/health.ts";
import { undiciDialer } from "../../src/upstream/undici-dialer.ts";
import { SMALL, Shop } from "../money/shop.ts";
import { call } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { ThrowAt } from "./planted-throws.ts";

/** One answer whose parts throw at a chosen call, from a bare server over the books of a real relay. */
interface Trial {
  readonly answer: Answer;
  readonly id: string;
  readonly bugs: readonly unknown[];
  readonly calls: number;
  readonly ticks: number;
  readonly health: ReturnType<Health["report"]>;
  readonly running: number;
}

let shop: Shop;
const uncaught: unknown[] = [];
const onUncaught = (error: unknown): void => void uncaught.push(error);

beforeAll(async () => {
  shop = await Shop.start("1000.00", { text: "one two three four five six" }, { hold: "sliding" });
  process.on("uncaughtExceptionMonitor", onUncaught);
  process.on("unhandledRejection", onUncaught);
});
afterAll(async () => {
  process.off("uncaughtExceptionMonitor", onUncaught);
  process.off("unhandledRejection", onUncaught);
  await shop.close();
});

/** A ticker whose members throw as the parts do. @param onTick counts their ticks. */
function faultyTicker(throwing: ThrowAt, onTick: () => void): Ticker {
  const ticker = new Ticker();
  const faulty = new Map<Ticking, Ticking>();
  return throwing.in({
    add: (member: Ticking, onBug: (error: unknown) => void) => {
      faulty.set(member, { tick: (now) => (onTick(), member.tick(now)) });
      ticker.add(faulty.get(member) ?? member, onBug);
    },
    remove: (member: Ticking) => ticker.remove(faulty.get(member) ?? member),
  }) as unknown as Ticker;
}

/** A connection that ended before a status. */
const CUT: Answer = { status: 0, headers: {}, body: "", isWhole: false };
let ids = 0;

interface Where {
  /** Number of the call that throws. */
  readonly call?: number;
  /** Number of the tick that throws. */
  readonly tick?: number;
  /** What throws each time. */
  readonly always?: Always;
}

const ALWAYS = ["errorFrame", "errorBody", "done", "writeHead", "end", "costs"] as const;
type Always = (typeof ALWAYS)[number];

/** The object, with one of its members throwing each time that it is used. */
function failing<T extends object>(part: T, member: string | undefined): T {
  return new Proxy(part, {
    get: (target, name) => {
      if (name === member) throw new Error(`planted at call of ${member}`);
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

async function attempt(isStream: boolean, isMetered: boolean, where: Where): Promise<Trial> {
  const { always } = where;
  const throwing = new ThrowAt(where.call ?? Number.POSITIVE_INFINITY);
  const ticking = new ThrowAt(where.tick ?? Number.POSITIVE_INFINITY);
  const { books, app } = shop.relay;
  const upstream = { ...ofSimulator(), name: "a" };
  const snapshot: Snapshot = snapshotOf(configWith(upstream), 1);
  const health = new Health(snapshot.config.upstreams, performance.now(), { accounts: 1, keysOf: () => 1 });
  const bugs: unknown[] = [];
  const dialer = undiciDialer();
  const metrics = new Metrics({
    streamsActive: () => 0,
    rowsWaiting: () => 0,
    upstreams: () => [],
    limits: () => ({ subjects: 0, inFlight: 0 }),
  });
  const pins = new PinnedPrices(books.prices);
  const parts: ChatParts = {
    providerOf: (name) => throwing.in(providerOf(name)),
    health: throwing.in({
      stateOf: (route, caller) => health.stateOf(route, caller),
      takeRetry: (name, now) => health.takeRetry(name, now),
      admit: (...given) => {
        const permit = health.admit(...given);
        return "refused" in permit ? permit : { observe: throwing.in(permit).observe, release: () => permit.release() };
      },
    } satisfies Pick<Health, "stateOf" | "takeRetry" | "admit">) as Health,
    dialer: {
      dial: (request, handler) => (throwing.call("dial"), throwing.in(dialer.dial(request, handler))),
      close: () => dialer.close(),
    },
    ticker: faultyTicker(throwing, () => ticking.call("tick")),
    rows: throwing.in(books.rows),
    billing: throwing.in({
      pin: (version) => pins.pin(version),
      ask: (operation) => books.ledger.ask(operation),
    } satisfies ChatParts["billing"]),
    metrics: throwing.in(metrics, ["attempts", "requests", "interToken", "operationDuration", "timeToFirstChunk", "duration", "tokens"]),
    drains: new DrainBudget(1),
    streamTimes: STREAM_TIMES,
    onRow: () => throwing.call("onRow"),
    onTrouble: () => undefined,
    onBug: (_requestId, error) => void bugs.push(error),
  };
  const runs = new Runs(parts);
  const id = `req_bug${isStream}${isMetered}${++ids}`;
  const account = app.accounts.get(isMetered ? shop.id : "default");
  const verdict = app.keys.verify(isMetered ? shop.key : shop.relay.key, Date.now());
  if (account === undefined || !verdict.ok) throw new Error("the test's own account or key is unknown");
  const over = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    void readJsonBody(request, { bytesMax: 1e6, graceMs: 1e4 }, new BodyBudget(1e6)).then((read) => {
      if (!read.ok) throw new Error("the test's own body is wrong");
      const now = performance.now();
      const exchange: Exchange = {
        id,
        at: Date.now(),
        receivedAt: now,
        bodyReadAt: now,
        key: verdict.key,
        account,
        idempotencyKey: null,
        textBytes: read.body.textBytes,
        mediaBytes: 0,
        model: modelOf(snapshot),
        snapshot: {
          ...snapshot,
          config: { ...snapshot.config, prices: failing(snapshot.config.prices, always) },
          redactor: throwing.in(snapshot.redactor),
        },
        request: {
          endpoint: "chat",
          body: read.body.bytes,
          members: read.body.members,
          model: "m",
          isStream,
          wantsUsage: false,
          choices: 1,
          answersMax: 1,
          outputTokensMax: 20,
          hops: 1,
        },
        onRow: () => throwing.call("exchange.onRow"),
      };
      const dialect = failing(CHAT_DIALECT, always);
      const sink = throwing.in(new HttpSink(failing(response, always), id, isStream, dialect));
      runs.start(exchange, { sink, dialect }, over.resolve);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const port = (server.address() as AddressInfo).port;
    const answer = await call({ port, key: "none" }, { body: { ...SMALL, stream: isStream } }).catch(() => CUT);
    await over.promise;
    return { answer, id, bugs, calls: throwing.calls, ticks: ticking.calls, health: health.report(performance.now()), running: runs.size };
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await dialer.close();
  }
}

const configOf = (): Snapshot["config"] => shop.relay.config;
const ofSimulator = (): NonNullable<ReturnType<Snapshot["config"]["upstreams"]["get"]>> => {
  const upstream = configOf().upstreams.get("a");
  if (upstream === undefined) throw new Error("no upstream a");
  return upstream;
};
const configWith = (upstream: ReturnType<typeof ofSimulator>): Snapshot["config"] => ({
  ...configOf(),
  upstreams: new Map([["a", upstream]]),
});
const modelOf = ({ config }: Snapshot): Exchange["model"] => {
  const model = config.models.get("m");
  if (model === undefined) throw new Error("no model m");
  return model;
};

/** The good end of an answer, as a client sees it. */
function looksWhole({ status, body, isWhole }: Answer, isStream: boolean): boolean {
  return status === 200 && isWhole && (!isStream || body.endsWith("data: [DONE]\n\n"));
}

async function judge({ answer, id, bugs, health, running }: Trial, isStream: boolean): Promise<void> {
  const [row, ...others] = await shop.relay.query(`SELECT * FROM requests WHERE id = '${id}'`);
  expect(row).toBeDefined();
  expect(others).toEqual([]);
  expect(bugs).toHaveLength(1);
  expect(String(bugs[0])).toContain("planted at call");
  const isGood = ["complete", "length"].includes(String(row?.["end_reason"]));
  if (!isGood) {
    expect(row).toMatchObject({ end_reason: "internal_error", error_code: "internal_error" });
    expect(looksWhole(answer, isStream)).toBe(false);
    expect(answer.body).toMatch(answer.status === 500 || isStream ? /"code":"internal_error"/ : /^/);
    if (answer.status === 200) expect(answer.isWhole).toBe(false);
    else expect(answer.status).toBe(500);
  }
  const holds = await shop.relay.query(`SELECT state, charged FROM holds WHERE id = '${id}'`);
  for (const hold of holds) expect(hold["state"]).toMatch(/^(settled|voided)$/);
  // Who was charged has something of the answer; where the row said already that it was whole, the last step failed.
  if (!isGood && !answer.body.includes('"content"') && !looksWhole(answer, isStream))
    for (const hold of holds) expect(hold["charged"]).toBe(0n);
  expect(health).toMatchObject([{ upstream: "a", inFlight: 0, cooldownMs: 0 }]);
  expect(running).toBe(0);
}

describe.each([
  { isStream: true, isMetered: true },
  { isStream: true, isMetered: false },
  { isStream: false, isMetered: true },
  { isStream: false, isMetered: false },
])("a throw in the hot path ends its own request alone (streamed: $isStream, metered: $isMetered)", ({ isStream, isMetered }) => {
  test("at the n-th call of any part, for every n", { timeout: 120_000 }, async () => {
    const whole = await attempt(isStream, isMetered, {});
    expect(looksWhole(whole.answer, isStream)).toBe(true);
    expect(whole.calls).toBeGreaterThan(20);
    let thrown = 0;
    for (let at = 1; at <= whole.calls; at++) {
      const trial = await attempt(isStream, isMetered, { call: at });
      // Packets come together differently each time, and so the last calls may not come.
      if (trial.calls < at) continue;
      thrown += 1;
      await judge(trial, isStream).catch((error: unknown) => {
        throw new Error(`call ${at} of ${whole.calls}: ${String(trial.bugs[0])}`, { cause: error });
      });
    }
    expect(thrown).toBeGreaterThan(0.8 * whole.calls);
    expect(uncaught).toEqual([]);
    if (isMetered) expect(await shop.balance()).toMatchObject({ held_nanos: "0" });
  });

  test("at the n-th tick, for every n of a slow answer", { timeout: 120_000 }, async () => {
    shop.simulator.setScenario({ text: "one two three four five six", ttftMs: 300, ratePerSecond: 30 });
    const whole = await attempt(isStream, isMetered, {});
    expect(whole.ticks).toBeGreaterThan(2);
    for (let at = 1; at <= whole.ticks - 2; at++) {
      const trial = await attempt(isStream, isMetered, { tick: at });
      if (trial.ticks >= at) await judge(trial, isStream);
    }
    shop.simulator.setScenario({ text: "one two three four five six" });
    expect(uncaught).toEqual([]);
  });

  test.each(ALWAYS)(
    "where %s throws each time, the client does not wait, the row is kept and the hold ends",
    { timeout: 120_000 },
    async (always) => {
      const { calls } = await attempt(isStream, isMetered, {});
      // The row that stands in for one that cannot be made has to be kept: a second fault there would be one too many.
      const others = always === "costs" ? [] : Array.from({ length: Math.ceil(calls / 4) }, (_, i) => 1 + 4 * i);
      for (const at of [Number.POSITIVE_INFINITY, ...others]) {
        const { id, answer, running, health } = await attempt(isStream, isMetered, { call: at, always });
        const rows = await shop.relay.query(`SELECT * FROM requests WHERE id = '${id}'`);
        expect(rows).toHaveLength(1);
        if (rows[0]?.["end_reason"] === "internal_error") expect(looksWhole(answer, isStream)).toBe(false);
        for (const hold of await shop.relay.query(`SELECT state FROM holds WHERE id = '${id}'`)) expect(hold["state"]).not.toBe("open");
        expect(health[0]?.inFlight).toBe(0);
        expect(running).toBe(0);
      }
      expect(uncaught).toEqual([]);
    },
  );
});
