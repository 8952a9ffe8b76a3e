import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { expectAtRest, guard } from "./guards.ts";
import type { Guard } from "./guards.ts";
import { startRawUpstream } from "./raw-upstream.ts";
import type { RawPlan, RawUpstream } from "./raw-upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

interface RawCase {
  readonly name: string;
  readonly text: string;
  readonly end?: RawPlan["end"];
  readonly status?: number;
}

/** Answers on the wire that are wrong before there is any content; 502 unless said otherwise. */
const CASES: readonly RawCase[] = [
  { name: "no byte and FIN", text: "" },
  { name: "no byte and RST", text: "", end: "rst" },
  { name: "half a status line", text: "HTTP/1.1 2" },
  { name: "half of the headers", text: OK },
  { name: "headers that never end", text: OK, end: "open", status: 504 },
  { name: "an HTTP/2 preface", text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
  { name: "a TLS alert", text: "\u0015\u0003\u0001\u0000\u0002\u0002(" },
  { name: "a status that is no number", text: "HTTP/1.1 abc OK\r\n\r\n" },
  { name: "a status of 000", text: "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n" },
  { name: "a status of 999", text: "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n" },
  { name: "HTTP/1.2", text: `HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n` },
  { name: "a request", text: "GET / HTTP/1.1\r\nHost: x\r\n\r\n" },
  { name: "two lengths", text: `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${EVENT}` },
  { name: "a negative length", text: `${OK}Content-Length: -5\r\n\r\n${EVENT}` },
  { name: "a length beyond all numbers", text: `${OK}Content-Length: ${"9".repeat(40)}\r\n\r\n${EVENT}` },
  { name: "a length of zero", text: `${OK}Content-Length: 0\r\n\r\n${EVENT}` },
  { name: "204 with a body", text: `HTTP/1.1 204 No Content\r\nContent-Type: text/event-stream\r\n\r\n${EVENT}` },
  { name: "304", text: "HTTP/1.1 304 Not Modified\r\n\r\n" },
  { name: "a chunk size that is no number", text: `${CHUNKED}zz\r\n${EVENT}\r\n0\r\n\r\n` },
  { name: "a chunk size beyond all numbers", text: `${CHUNKED}${"f".repeat(20)}\r\n${EVENT}` },
  { name: "a NUL in a header", text: `HTTP/1.1 200 OK\r\nX: a\u0000b\r\nContent-Length: 0\r\n\r\n` },
  { name: "a header without a colon", text: `HTTP/1.1 200 OK\r\nnonsense\r\n\r\n` },
  { name: "a folded header", text: `HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n` },
  { name: "an encoding that nobody knows", text: `${OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n` },
  { name: "ten thousand headers", text: `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(10_000)}\r\n` },
  { name: "interim answers and no other", text: "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500), end: "open", status: 504 },
  { name: "a switch of protocols", text: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", end: "open" },
];

const watch: Guard = guard();
let raw: RawUpstream;
let alone: TestRelay;
let both: TestRelay;

beforeAll(async () => {
  raw = await startRawUpstream((request) => {
    const named = CASES[Number(/"x_case":(\d+)/.exec(request)?.[1] ?? -1)];
    return { bytes: Buffer.from(named?.text ?? "", "latin1"), end: named?.end ?? "fin" };
  });
  const a = { baseUrl: raw.baseUrl, timeouts: { firstEventMs: 400, totalMs: 800 } };
  alone = await startRelay({ upstreams: { a } });
  both = await startRelay({ upstreams: { a, b: { simulator: { scenario: { text: "from b" } } } } });
});

afterAll(async () => {
  await Promise.all([alone.close(), both.close(), raw.close()]);
  watch.stop();
});

function ask(relay: TestRelay, at: number, stream: boolean): ReturnType<typeof call> {
  return call(relay, { body: { model: "m", stream, messages: MESSAGES, x_case: at } });
}

describe.each(CASES.map((each, at) => ({ ...each, at })))("$name", ({ at, status, name }) => {
  test("is an error with no other upstream, and the other's answer with one", async () => {
    for (const stream of [true, false]) {
      const answer = await ask(alone, at, stream);
      expect(answer.isWhole).toBe(true);
      const expected = name === "304" ? "upstream_redirect" : status === 504 ? "upstream_timeout" : "upstream_failed";
      expect([answer.status, errorOf(answer).code]).toEqual([status ?? 502, expected]);
    }
    expect(readStream(await ask(both, at, true))).toMatchObject({ outcome: "complete", choices: [{ text: "from b" }] });
    expect(JSON.parse((await ask(both, at, false)).body)).toMatchObject({ choices: [{ message: { content: "from b" } }] });
  });
});

test("afterwards nothing is in flight, no connection is left and nothing was thrown", async () => {
  await expectAtRest(alone, watch);
  await expectAtRest(both, watch);
  expect(raw.open()).toBe(0);
});
