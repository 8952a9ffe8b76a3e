import { connect } from "node:net";
import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { newAccount } from "../../src/admission/accounts.ts";
import { newKeyRecord } from "../../src/admission/keys.ts";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { chatRequest, until } from "../simulator/raw-client.ts";
import { call, errorOf, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;
const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** One who may call. */
interface Caller {
  readonly port: number;
  readonly key: string;
}

async function newKey(accountId: string): Promise<Caller> {
  const { text, record } = newKeyRecord(accountId, "test", Date.now());
  await relay.app.keys.insert(record);
  return { port: relay.port, key: text };
}

/** A new account with so many keys. */
async function newCallers(name: string, keys: number): Promise<readonly [Caller, ...Caller[]]> {
  const account = newAccount(name, false, null, Date.now());
  await relay.app.accounts.insert(account);
  const [first, ...more] = [await newKey(account.id), ...(await Promise.all(Array.from({ length: keys - 1 }, () => newKey(account.id))))];
  if (first === undefined) throw new Error("no key");
  return [first, ...more];
}

/** Sends so many requests for streams without an end, and never reads what comes. */
function stall({ port, key }: Caller, count: number): void {
  for (let i = 0; i < count; i++) {
    const socket = connect(port, "127.0.0.1");
    socket.pause();
    socket.on("error", () => undefined);
    socket.write(chatRequest({ stream: true, user: "endless" }, { authorization: `Bearer ${key}` }));
    sockets.push(socket);
  }
}

/** A request whose answer does not begin before its client leaves. */
function hang(caller: Caller, leaving: AbortSignal): Promise<Answer | null> {
  const body = { model: "m", user: "hang", messages: [{ role: "user", content: "x" }] };
  return call(caller, { body, signal: leaving }).catch(() => null);
}

/** Who wants more than there is for it, and fills all that it may have. @returns calls in flight then. */
async function flood(callers: readonly Caller[], each: number): Promise<number> {
  const asked = callers.length * each;
  for (const caller of callers) stall(caller, each);
  await until(() => openCalls() + refusals() === asked, 15_000);
  return openCalls();
}

function openCalls(upstream = "a"): number {
  return relay.simulators[upstream]?.counts.openRequests ?? 0;
}

function refusals(): number {
  return relay.rows("requests").filter((row) => row["error_code"] === "too_many_in_flight").length;
}

function script(seen: { readonly bodyText: string }): Partial<Scenario> {
  if (seen.bodyText.includes('"endless"')) return { fault: { kind: "endless-stream" }, ratePerSecond: 5 };
  return seen.bodyText.includes('"hang"') ? { fault: { kind: "hang-headers" } } : { text: "quick" };
}

async function start(upstream: Partial<RelaySetup["upstreams"][string]>): Promise<void> {
  relay = await relayForTest({ upstreams: { a: { simulator: { script }, ...upstream } } });
}

describe("the bound of an upstream", { timeout: 60_000 }, () => {
  test.each([1, 4])(
    "with one account of %d keys taking all it can by clients that never read, 20 of 20 calls of another get in",
    async (keys) => {
      await start({ inFlightMax: 80 });
      const greedy = await newCallers("greedy", keys);
      const [other] = await newCallers("other", 2);
      expect(await flood(greedy, 100)).toBe(60);
      const leaving = new AbortController();
      const answers = Array.from({ length: 20 }, () => hang(other, leaving.signal));
      await until(() => openCalls() === 80, 5_000);
      expect(errorOf(await call(other))).toMatchObject({ code: "overloaded", type: "server_error" });
      for (const socket of sockets.splice(0)) socket.destroy();
      await until(() => openCalls() === 20, 5_000);
      expect(readStream(await call(greedy[0])).choices[0]?.text).toBe("quick");
      leaving.abort();
      await Promise.all(answers);
    },
  );

  test("with one account taking all it can, 20 calls of another one after the other are all answered", async () => {
    await start({ inFlightMax: 40 });
    const greedy = await newCallers("greedy", 1);
    const [other] = await newCallers("other", 1);
    expect(await flood(greedy, 60)).toBe(30);
    const texts: (string | undefined)[] = [];
    for (let i = 0; i < 20; i++) texts.push(readStream(await call(other)).choices[0]?.text);
    expect(texts).toEqual(texts.map(() => "quick"));
  });

  test("the refused get 429 too_many_in_flight, which names the bound and says when to come back, and a row", async () => {
    await start({ inFlightMax: 8 });
    const greedy = await newCallers("greedy", 1);
    await newCallers("other", 1);
    expect(await flood(greedy, 6)).toBe(6);
    const answer = await call(greedy[0]);
    expect(answer.status).toBe(429);
    expect(errorOf(answer)).toMatchObject({ code: "too_many_in_flight", type: "rate_limit_error" });
    expect(errorOf(answer).message).toContain("max_in_flight of upstream a is 8, of which this account may have 6");
    expect(answer.headers).toMatchObject({
      "retry-after": "1",
      "retry-after-ms": "1000",
      "x-ratelimit-limit-in-flight": "6",
      "x-ratelimit-remaining-in-flight": "0",
      "x-ratelimit-reset-in-flight": "1s",
    });
    await until(() => refusals() === 1);
    expect(await relay.row()).toMatchObject({ end_reason: "refused", error_code: "too_many_in_flight", status: 429, upstream: null });
  });

  test("many calls of one account at the same instant are refused as one after the other would be", async () => {
    await start({ inFlightMax: 8 });
    const [greedy] = await newCallers("greedy", 1);
    await newCallers("other", 1);
    const leaving = new AbortController();
    const refused: Answer[] = [];
    const answers = Array.from({ length: 30 }, async () => {
      const answer = await hang(greedy, leaving.signal);
      if (answer !== null) refused.push(answer);
    });
    await until(() => refused.length === 24 && openCalls() === 6, 5_000);
    expect(refused.map((answer) => [answer.status, errorOf(answer).code])).toEqual(refused.map(() => [429, "too_many_in_flight"]));
    leaving.abort();
    await Promise.all(answers);
  });

  test("with one key taking all it can, 20 of 20 calls of another key of that account get in", async () => {
    await start({ inFlightMax: 80 });
    const [one, another] = await newCallers("only", 2);
    withoutFirstKey();
    expect(await flood([one], 100)).toBe(60);
    expect(errorOf(await call(one)).message).toContain("this key may have 60 right now");
    const leaving = new AbortController();
    const answers = Array.from({ length: 20 }, () => hang(another ?? one, leaving.signal));
    await until(() => openCalls() === 80, 5_000);
    leaving.abort();
    await Promise.all(answers);
  });

  test("the only key there is has all of it", async () => {
    await start({ inFlightMax: 8 });
    const [only] = await newCallers("only", 1);
    withoutFirstKey();
    stall(only, 8);
    await until(() => openCalls() === 8, 5_000);
    expect(errorOf(await call(only)).code).toBe("overloaded");
  });

  test.each([
    [0, 20],
    [0.5, 10],
  ])("keeps the part that is configured: of 20 calls, %d kept lets one account have %d", async (reservedShare, most) => {
    await start({ inFlightMax: 20, reservedShare });
    const greedy = await newCallers("greedy", 1);
    for (let i = 0; i < 25; i++) stall(greedy[0], 1);
    await until(() => relay.rows("requests").length + openCalls() === 25, 5_000);
    expect(openCalls()).toBe(most);
  });

  test("of a fallback is its own: what a dead upstream leaves over does not drown it, and others still get in", async () => {
    relay = await relayForTest({
      upstreams: {
        dead: { timeouts: { firstEventMs: 300 }, simulator: { scenario: { fault: { kind: "hang" } } } },
        a: { inFlightMax: 12, simulator: { script } },
      },
    });
    const [greedy] = await newCallers("greedy", 1);
    const [other] = await newCallers("other", 1);
    stall(greedy, 40);
    await until(() => openCalls() === 9 && openCalls("dead") === 0, 10_000);
    expect(readStream(await call(other)).choices[0]?.text).toBe("quick");
    expect(openCalls()).toBe(9);
  });
});

/** Takes away the key that the relay was started with: its account can call nobody any more. */
function withoutFirstKey(): void {
  const first = relay.app.keys.findText(relay.key);
  if (first === undefined) throw new Error("the relay has no first key");
  relay.app.keys.renew(first, { ...first, revokedAt: Date.now() });
}
