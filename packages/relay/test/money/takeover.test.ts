/** A relay that starts on the data of one that drains: what clients see meanwhile, and what the books say afterwards. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { openDataDirectory } from "../../src/store/data-directory.ts";
import { openBooks } from "../../src/store/open-store.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { DATABASES, SQLITE } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { ADMIN_TOKEN } from "../support/admin-token.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";

const PRICE = { input: "1.00", cached_input: "0.10", output: "2.00" };
const EVENTS_PER_S = 50;

type Json = Record<string, unknown>;

let simulator: Simulator;
let database: TestDatabase = SQLITE;
const relays: RelayProcess[] = [];
/** What the next relay's configuration has more. */
let changed: object = {};

afterEach(async () => {
  for (const relay of relays.splice(0).toReversed()) await relay.close();
  await simulator.close();
  database = SQLITE;
  changed = {};
});

/** How long the first model streams, and how a relay ends. */
interface Setting {
  readonly streamS: number;
  readonly delay?: string;
}

let setting: Setting;

function config(): object {
  const place = database.configIn("");
  const model = (name: string): object => ({ upstreams: [{ upstream: "a", model: name }], price: PRICE });
  return {
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: model("m"), long: model("long") },
    ...changed,
    shutdown: { delay: setting.delay ?? "0s", drain: "60s" },
    ...(place.kind === "postgres" ? { database: place.url, durability: "process" } : {}),
  };
}

async function begin(given: Setting): Promise<{ relay: RelayProcess; paying: string }> {
  setting = given;
  simulator = await startSimulator({
    script: ({ json }) =>
      (json as { model: string }).model === "long" ? { events: given.streamS * EVENTS_PER_S, ratePerSecond: EVENTS_PER_S } : { text: "x" },
  });
  const relay = await next();
  const { id } = await admin(relay, "accounts", { name: "shop", metered: true });
  await admin(relay, `accounts/${String(id)}/credits`, { amount: "500.00", reason: "test", reference: "g1" });
  return { relay, paying: String((await admin(relay, "keys", { account_id: id }))["key"]) };
}

/** One more relay on the data and the port of the first. */
async function next(): Promise<RelayProcess> {
  const [first] = relays;
  const relay = await startRelayProcess(config(), first, first === undefined ? {} : { onPort: first.port });
  relays.push(relay);
  return relay;
}

/** The one that runs is told to end, and the next is started. */
async function replace(running: RelayProcess): Promise<RelayProcess> {
  running.child.kill("SIGTERM");
  const marks = ["draining", "draining.1"].map((each) => join(running.dataDir, each));
  await expect.poll(() => marks.filter((mark) => existsSync(mark)).length).toBe(relays.length);
  return next();
}

async function admin(relay: RelayProcess, path: string, body: unknown): Promise<Json> {
  const answer = await call(relay, { path: `/admin/api/${path}`, body, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  expect([path, answer.status]).toEqual([path, 201]);
  return JSON.parse(answer.body) as Json;
}

function stream(port: number, key: string): Promise<Answer> {
  return call({ port, key }, { body: { model: "long", stream: true, max_tokens: 5_000, messages: MESSAGES } });
}

function ask(port: number, key: string): Promise<Answer> {
  return call({ port, key }, { body: { model: "m", stream: false, max_tokens: 20, messages: MESSAGES } });
}

async function ready(port: number): Promise<[number, unknown]> {
  const answer = await call({ port, key: "" }, { path: "/readyz", method: "GET", body: null });
  return [answer.status, JSON.parse(answer.body)];
}

/** Asks again and again, each time on a new connection. */
class Poller {
  readonly answers: Answer[] = [];
  /** Milliseconds without an answer: the longest time from one that was refused a connection, or cut, to the next. */
  gapMs = 0;
  errors = 0;
  #failedAt: number | null = null;
  #isOn = true;
  readonly #done: Promise<void>;

  constructor(port: number, key: string, everyMs: number) {
    this.#done = this.#poll(port, key, everyMs);
  }

  async #poll(port: number, key: string, everyMs: number): Promise<void> {
    while (this.#isOn) {
      const at = performance.now();
      const answer = await ask(port, key).catch(() => null);
      if (answer === null) {
        this.errors++;
        this.#failedAt ??= at;
      } else {
        this.answers.push(answer);
        if (this.#failedAt !== null) this.gapMs = Math.max(this.gapMs, at - this.#failedAt);
        this.#failedAt = null;
      }
      await sleep(everyMs);
    }
  }

  get statuses(): number[] {
    return this.answers.map(({ status }) => status);
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#done;
  }
}

/** The control: how late a timer of this process is at most. */
class Stall {
  #worstMs = 0;
  #at = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.#worstMs = Math.max(this.#worstMs, now - this.#at - 20);
    this.#at = now;
  }, 20);

  stop(): number {
    clearInterval(this.#timer);
    return this.#worstMs;
  }
}

/** After all relays ended: the books agree, nothing is held, and each answer has its row. */
async function expectExactBooks(dataDir: string, answers: readonly Answer[]): Promise<void> {
  const settings = { dataDir, database: database.configIn(dataDir), durability: "process" as const };
  const books = await openBooks({ ...settings, onTrouble: () => undefined });
  expect(await books.store.query("audit", {})).toEqual([]);
  await books.close();
  expect(await database.query(dataDir, "SELECT id FROM holds WHERE state = 'open'")).toEqual([]);
  const rows = await database.query(dataDir, "SELECT id, marks, revision FROM requests");
  const stored = new Set(rows.map(({ id }) => id));
  expect(answers.filter(({ headers }) => !stored.has(headers["x-request-id"]))).toEqual([]);
  expect(rows.length).toBe(stored.size);
  // All relays of a test have the same configuration, and one that waits knows its number.
  expect(new Set(rows.filter(({ marks }) => marks !== "recovered").map(({ revision }) => Number(revision)))).toEqual(new Set([1]));
}

async function endAll(): Promise<void> {
  for (const relay of relays) relay.child.kill("SIGTERM");
  for (const relay of relays) await relay.exited;
}

test(
  "on SQLite a restart under a stream of 12 s: free requests miss a moment, paying ones get 503 until the books are there",
  {
    timeout: 120_000,
  },
  async () => {
    const { relay, paying } = await begin({ streamS: 12, delay: "5s" });
    const running = stream(relay.port, paying);
    await until(() => simulator.counts.openRequests === 1);
    const free = new Poller(relay.port, relay.key, 20);
    const pays = new Poller(relay.port, paying, 20);
    const stall = new Stall();
    const second = await replace(relay);
    await expect.poll(() => second.output()).toContain("accounts that pay get 503 until the other relay has ended");
    expect(second.output()).not.toContain("Warning");
    expect(await ready(second.port)).toEqual([200, { status: "ready", books: "awaited" }]);
    const write = await call(second, {
      path: "/admin/api/accounts",
      body: { name: "late", metered: false },
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    expect([write.status, errorOf(write).code]).toEqual([503, "store_unavailable"]);
    expect(readStream(await running).outcome).toBe("complete");
    expect(await relay.exited).toBe(0);
    const endedAt = performance.now();
    await expect.poll(async () => (await ask(second.port, paying)).status, { interval: 20, timeout: 10_000 }).toBe(200);
    const lateMs = performance.now() - endedAt;
    await expect.poll(() => second.output()).toContain("everything is served");
    expect(await ready(second.port)).toEqual([200, { status: "ready" }]);
    await free.stop();
    await pays.stop();
    const stallMs = stall.stop();
    expect(new Set(free.statuses)).toEqual(new Set([200]));
    // A turn of a busy machine is counted off, as it was seen by a timer beside.
    expect(free.gapMs - stallMs).toBeLessThan(500);
    expect(lateMs - stallMs).toBeLessThan(2_000);
    expect(pays.gapMs - stallMs).toBeLessThan(500);
    const refused = pays.answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const answer of refused)
      expect([answer.status, errorOf(answer).code, answer.headers["retry-after"]]).toEqual([503, "store_unavailable", "5"]);
    // 200, then 503, then 200 for good.
    expect(pays.statuses.map((status) => (status === 200 ? "+" : "-")).join("")).toMatch(/^\++-+\++$/);
    await endAll();
    await expectExactBooks(relay.dataDir, [...free.answers, ...pays.answers]);
  },
);

describe.each(Object.entries(DATABASES))("on %s", (name, newDatabase) => {
  const isShared = name !== "SQLite";

  test(
    "the first is killed while it drains: the second has the books at once, and what ran is recovered",
    { timeout: 60_000 },
    async () => {
      database = await newDatabase();
      const { relay, paying } = await begin({ streamS: 60 });
      const running = stream(relay.port, paying);
      await until(() => simulator.counts.openRequests === 1);
      const noted = (): Promise<Json[]> => database.query(relay.dataDir, "SELECT id FROM holds WHERE checkpoint_charge > 0");
      await expect.poll(noted, { timeout: 10_000 }).toHaveLength(1);
      const second = await replace(relay);
      const early = await ask(second.port, paying);
      expect(early.status).toBe(isShared ? 200 : 503);
      const free = await ask(second.port, relay.key);
      expect(free.status).toBe(200);
      relay.child.kill("SIGKILL");
      expect((await running).isWhole).toBe(false);
      await expect.poll(async () => (await ask(second.port, paying)).status, { interval: 20, timeout: 5_000 }).toBe(200);
      const ends = (): Promise<Json[]> =>
        database.query(relay.dataDir, "SELECT state, basis FROM holds WHERE state IN ('open', 'recovered')");
      const recovered = [{ state: "recovered", basis: "checkpoint" }];
      // On a server the second has a name of its own: it finds out when the lease is over, or the next start does.
      if (!isShared) expect(await ends()).toEqual(recovered);
      await endAll();
      await next();
      expect(await ends()).toEqual(recovered);
      await endAll();
      await expectExactBooks(relay.dataDir, [early, free]);
    },
  );

  test("the second is killed while it waits: the third goes on, and no row of an answer is lost", { timeout: 90_000 }, async () => {
    database = await newDatabase();
    const { relay, paying } = await begin({ streamS: 60 });
    const running = stream(relay.port, paying);
    await until(() => simulator.counts.openRequests === 1);
    const second = await replace(relay);
    const free = new Poller(relay.port, relay.key, 5);
    await until(() => free.answers.length > 50);
    second.child.kill("SIGKILL");
    await second.exited;
    if (!isShared) expect(readFileSync(join(relay.dataDir, "spool.1"), "utf8").split("\n").length).toBeGreaterThan(50);
    const third = await next();
    const count = free.answers.length;
    await until(() => free.answers.length > count + 50);
    await free.stop();
    // The second signal ends the drain.
    relay.child.kill("SIGTERM");
    expect(errorOf(await running).code).toBe("relay_stopped");
    expect(await relay.exited).toBe(0);
    await expect.poll(async () => (await ask(third.port, paying)).status, { interval: 20, timeout: 10_000 }).toBe(200);
    await endAll();
    expect(existsSync(join(relay.dataDir, "spool.1"))).toBe(false);
    await expectExactBooks(relay.dataDir, free.answers);
  });

  test("the second is told to end while it waits: a third takes over from both", { timeout: 90_000 }, async () => {
    database = await newDatabase();
    const { relay, paying } = await begin({ streamS: 60 });
    const paid = stream(relay.port, paying);
    await until(() => simulator.counts.openRequests === 1);
    const second = await replace(relay);
    const free = stream(second.port, relay.key);
    await until(() => simulator.counts.openRequests === 2);
    const third = await replace(second);
    const others = [await ask(third.port, relay.key)];
    expect((await ask(third.port, paying)).status).toBe(isShared ? 200 : 503);
    // The second signal ends a drain.
    for (const each of [relay, second]) each.child.kill("SIGTERM");
    const answers = await Promise.all([paid, free]);
    expect(answers.map((answer) => errorOf(answer).code)).toEqual(["relay_stopped", "relay_stopped"]);
    expect([await relay.exited, await second.exited]).toEqual([0, 0]);
    await expect.poll(async () => (await ask(third.port, paying)).status, { interval: 20, timeout: 10_000 }).toBe(200);
    await endAll();
    await expectExactBooks(relay.dataDir, [...answers, ...others]);
  });
});

test(
  "who waits has one heir: another relay and a command on the directory are refused, with their reason",
  { timeout: 60_000 },
  async () => {
    const { relay, paying } = await begin({ streamS: 60 });
    const running = stream(relay.port, paying).catch(() => null);
    await until(() => simulator.counts.openRequests === 1);
    await replace(relay);
    await expect(startRelayProcess(config(), relay)).rejects.toThrow(/another process waits for .*: stop it, or choose another directory/);
    const settings = { dataDir: relay.dataDir, database: database.configIn(relay.dataDir), durability: "process" as const };
    await expect(openBooks({ ...settings, onTrouble: () => undefined })).rejects.toThrow("another process waits for");
    relay.child.kill("SIGTERM");
    await running;
  },
);

test(
  "a relay that cannot open the books when they are free says why and ends, with what it kept on the disk",
  { timeout: 60_000 },
  async () => {
    const { relay } = await begin({ streamS: 1 });
    relay.child.kill("SIGTERM");
    await relay.exited;
    // Stands in for a relay that drains and is of a newer program than the one that follows.
    const older = openDataDirectory(relay.dataDir);
    older.line.markDraining({ delayMs: 0, drainMs: 60_000 }, () => undefined);
    const second = await next();
    const free = await ask(second.port, relay.key);
    expect(free.status).toBe(200);
    const file = new DatabaseSync(join(relay.dataDir, "millrace.db"));
    file.exec("PRAGMA user_version = 9999");
    file.close();
    older.line.release();
    expect(await second.exited).toBe(1);
    expect(second.output()).toMatch(/newer/);
    expect(readFileSync(join(relay.dataDir, "spool"), "utf8")).toContain(String(free.headers["x-request-id"]));
  },
);

test("what the first one's control API changes until its listener closes is known to the second", { timeout: 60_000 }, async () => {
  const { relay, paying } = await begin({ streamS: 60, delay: "4s" });
  const running = stream(relay.port, paying).catch(() => null);
  await until(() => simulator.counts.openRequests === 1);
  relay.child.kill("SIGTERM");
  await expect.poll(() => existsSync(join(relay.dataDir, "draining"))).toBe(true);
  const starting = next();
  const made = await admin(relay, "keys", { account_id: "default" });
  const second = await starting;
  await expect.poll(async () => (await ask(second.port, String(made["key"]))).status, { timeout: 2_000 }).toBe(200);
  relay.child.kill("SIGTERM");
  await running;
});

test("a configuration that the first one does not know gets its number when the books are there", { timeout: 60_000 }, async () => {
  const { relay, paying } = await begin({ streamS: 60 });
  const running = stream(relay.port, paying).catch(() => null);
  await until(() => simulator.counts.openRequests === 1);
  changed = { sizes: { request: "1MiB" } };
  const second = await replace(relay);
  const early = await ask(second.port, relay.key);
  relay.child.kill("SIGTERM");
  await running;
  await expect.poll(() => second.output()).toContain("everything is served");
  const late = await ask(second.port, relay.key);
  const revisions = async (): Promise<unknown[]> =>
    (await database.query(relay.dataDir, "SELECT id, revision FROM requests ORDER BY at")).map(({ id, revision }) => [id, revision]);
  await expect.poll(revisions).toEqual(
    expect.arrayContaining([
      [early.headers["x-request-id"], null],
      [late.headers["x-request-id"], 2n],
    ]),
  );
});

// Moments before, while and after the second opens the books.
test.each([0, 150, 300])(
  "the second is killed %i ms after the first has ended: no answer that ended well is lost",
  { timeout: 60_000 },
  async (ms) => {
    const { relay, paying } = await begin({ streamS: 60 });
    const running = stream(relay.port, paying);
    await until(() => simulator.counts.openRequests === 1);
    const second = await replace(relay);
    const pollers = [new Poller(relay.port, relay.key, 2), new Poller(relay.port, paying, 5)];
    await until(() => pollers.every(({ answers }) => answers.length > 10));
    relay.child.kill("SIGTERM");
    expect(errorOf(await running).code).toBe("relay_stopped");
    await relay.exited;
    await sleep(ms);
    second.child.kill("SIGKILL");
    await second.exited;
    await next();
    const before = pollers.map(({ answers }) => answers.length);
    await until(() => pollers.every(({ answers }, at) => answers.length > (before[at] ?? 0) + 10));
    for (const poller of pollers) await poller.stop();
    await endAll();
    // A refusal leaves before its row, so a relay that is killed may take the row with it.
    await expectExactBooks(
      relay.dataDir,
      pollers.flatMap(({ answers }) => answers.filter(({ status, isWhole }) => status === 200 && isWhole)),
    );
  },
);
