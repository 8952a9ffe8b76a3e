import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call, MESSAGES } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { KEY, chat, models } from "./raw-case.ts";
import { readAnswers } from "./raw.ts";

const CLIENTS = 200;
const GRACE_MS = 2_000;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" } } } }, bodyGraceMs: GRACE_MS });
});
afterAll(() => relay.close());

interface Ended {
  readonly ms: number;
  readonly statuses: readonly number[];
  readonly codes: readonly string[];
}

/** Sends a beginning and then, every 200 ms, a drop; until the server closes. */
function drip(begin: string, drop: string | (() => string)): Promise<Ended> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket = connect(relay.port, "127.0.0.1");
    let text = "";
    const timer = setInterval(() => socket.write(typeof drop === "string" ? drop : drop()), 200);
    socket.on("data", (piece: Buffer) => (text += piece.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearInterval(timer);
      const { answers } = readAnswers(text);
      const codes = answers.map(({ status, body }) => (status === 200 ? "" : (JSON.parse(body) as { error: { code: string } }).error.code));
      resolve({ ms: performance.now() - startedAt, statuses: answers.map((answer) => answer.status), codes });
    });
    socket.write(begin.replaceAll(KEY, relay.key));
  });
}

/** Runs slow clients all at once, and a good one all the while; tells how the slow ones ended. */
async function among(slow: () => Promise<Ended>): Promise<Ended[]> {
  let isOver = false;
  const all = Promise.all(Array.from({ length: CLIENTS }, slow)).finally(() => (isOver = true));
  let good = 0;
  // The slow ones run in this process too: let them all begin.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  while (!isOver) {
    const startedAt = performance.now();
    const answer = await call(relay, { body: { model: "m", messages: MESSAGES } });
    expect(answer.status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    good += 1;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(good).toBeGreaterThan(3);
  return all;
}

function expectAll(ended: readonly Ended[], statuses: readonly number[], withinMs: number, code: string): void {
  expect(ended.length).toBe(CLIENTS);
  for (const each of ended) {
    expect(each.statuses).toEqual(statuses);
    expect(each.codes.at(-1)).toBe(code);
    expect(each.ms).toBeLessThan(withinMs);
  }
}

test.concurrent("200 heads that drip are closed within 15 s while a good client is served", { timeout: 40_000 }, async () => {
  const ended = await among(() => drip("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n", "X-A: b\r\n"));
  expectAll(ended, [408], 15_000, "invalid_request");
});

test("200 bodies that drip are closed soon after their time while a good client is served", { timeout: 40_000 }, async () => {
  const ended = await among(() => drip(chat("Content-Length: 100000"), " "));
  expectAll(ended, [408], GRACE_MS + 5_000, "body_timeout");
});

test("200 chunked bodies that drip are closed soon after their time", { timeout: 40_000 }, async () => {
  const ended = await among(() => drip(chat("Transfer-Encoding: chunked"), "1\r\n \r\n"));
  expectAll(ended, [408], GRACE_MS + 5_000, "body_timeout");
});

test.concurrent(
  "200 pipelines whose second head drips are closed within 15 s, the first request answered",
  { timeout: 40_000 },
  async () => {
    const ended = await among(() => drip(`${models()}GET /v1/models HTTP/1.1\r\nHost: a\r\n`, "X-A: b\r\n"));
    expectAll(ended, [200, 408], 15_000, "invalid_request");
  },
);

test.concurrent("200 connections that never say a word are closed within 15 s", { timeout: 40_000 }, async () => {
  const ended = await among(() => drip("", ""));
  for (const each of ended) expect([each.statuses.every((status) => status === 408), each.ms < 15_000]).toEqual([true, true]);
});

test(
  "a body of 3 KB/s gets 408 body_timeout, one of 20 KB/s passes though it takes longer than the grace",
  { timeout: 40_000 },
  async () => {
    const slow = await drip(chat("Content-Length: 1000000"), " ".repeat(600));
    expect(slow).toMatchObject({ statuses: [408], codes: ["body_timeout"] });
    const body = `${" ".repeat(100_000)}{"model":"m","messages":[]}`;
    let sent = 0;
    const fast = await drip(chat(`Content-Length: ${body.length}`, "Connection: close"), () => {
      const piece = body.slice(sent, sent + 4_000);
      sent += 4_000;
      return piece;
    });
    expect(fast.statuses).toEqual([200]);
    expect(fast.ms).toBeGreaterThan(GRACE_MS + 2_000);
  },
);
