import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { CHAT, HIDDEN, KEY, chat, head, models } from "./raw-case.ts";
import { exchange } from "./raw.ts";
import type { RawSight } from "./raw.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { events: 20, ttftMs: 100, ratePerSecond: 100 } } } } });
});
afterAll(() => relay.close());

const PLAIN = chat(`Content-Length: ${CHAT.length}`) + CHAT;
const STREAM_BODY = CHAT.replace("{", '{"stream":true,');
const STREAM = chat(`Content-Length: ${STREAM_BODY.length}`) + STREAM_BODY;

function send(bytes: string, answers: number, isClosing: boolean): Promise<RawSight> {
  return exchange(relay.port, bytes.replaceAll(KEY, relay.key), { answers, isClosing });
}

const upstreamCalls = (): number => relay.simulators["a"]?.seen.length ?? 0;

test("pipelined requests are answered in their order, each once", async () => {
  const paths = ["/v1/models/m", "/nothing", "/v1/models/x", "/v1/models", "/v1/chat/completions"];
  const sight = await send(paths.map((path) => head(`GET ${path} HTTP/1.1`)).join("") + PLAIN, 6, false);
  expect(sight.answers.map((answer) => answer.status)).toEqual([200, 404, 404, 200, 405, 200]);
  expect(JSON.parse(sight.answers[0]?.body ?? "")).toMatchObject({ id: "m" });
  expect(JSON.parse(sight.answers[5]?.body ?? "")).toMatchObject({ object: "chat.completion" });
  expect(new Set(sight.answers.map((answer) => answer.headers["x-request-id"])).size).toBe(6);
});

test("more than eight waiting requests end their connection", async () => {
  const sight = await send(PLAIN.repeat(12), 12, true);
  expect(sight.isClosed).toBe(true);
  expect(sight.answers).toEqual([]);
  expect(sight.ms).toBeLessThan(5_000);
});

test("eight waiting requests are all answered, and after them eight more", async () => {
  const sight = await send(PLAIN.repeat(8), 8, false);
  expect(sight.answers.map((answer) => answer.status)).toEqual(Array.from({ length: 8 }, () => 200));
});

test("bytes that are no HTTP never show up within a stream or in place of an answer under way", async () => {
  const inStream = await streamThenGarbage();
  expect(inStream.match(/HTTP\/1\.1/g)?.length).toBe(1);
  expect(inStream).toContain("HTTP/1.1 200 OK");
  expect(inStream).not.toContain("invalid_request");
  const beforeAnswer = await send(`${PLAIN}\x00garbage\r\n\r\n`, 1, true);
  expect(beforeAnswer).toMatchObject({ answers: [], rest: "", isClosed: true });
});

function streamThenGarbage(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(relay.port, "127.0.0.1");
    let text = "";
    let isSpoiled = false;
    socket.on("data", (piece: Buffer) => {
      text += piece.toString("latin1");
      if (isSpoiled || !text.includes("data: ")) return;
      isSpoiled = true;
      socket.write("\x00garbage\r\n\r\n");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
    socket.write(STREAM.replaceAll(KEY, relay.key));
  });
}

test("a request behind a head that was refused as ambiguous is never carried out", async () => {
  const before = upstreamCalls();
  for (const first of [models("Host: b"), head("POST /v1/chat/completions HTTP/1.0", "Transfer-Encoding: chunked") + "0\r\n\r\n"]) {
    const sight = await send(first + PLAIN + HIDDEN, 1, true);
    expect(sight.answers.map((answer) => answer.status)).toEqual([400]);
    expect(sight.isClosed).toBe(true);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(upstreamCalls()).toBe(before);
});

test("a request that comes in single bytes is the same request", async () => {
  const socket = connect({ port: relay.port, host: "127.0.0.1", noDelay: true });
  const answer = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (piece: Buffer) => {
      text += piece.toString("latin1");
      if (text.includes("chat.completion")) resolve(text);
    });
  });
  for (const byte of PLAIN.replaceAll(KEY, relay.key)) {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await answer).toContain("HTTP/1.1 200 OK");
  socket.destroy();
});

test("a refusal reaches a client that sends its whole body before it reads", async () => {
  const body = Buffer.alloc(3 * 1024 * 1024, 0x20).toString("latin1");
  for (const [key, status] of [["sk-wrong-key-of-nobody-at-all", 401]] as const) {
    const sight = await exchange(
      relay.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      { answers: 1, isClosing: true },
    );
    expect(sight.answers.map((answer) => answer.status)).toEqual([status]);
    expect(sight.isClosed).toBe(true);
  }
});

test("a body that drips behind a finished answer ends its connection within seconds", async () => {
  for (const line of ["GET /healthz HTTP/1.1", "GET /v1/models HTTP/1.1", "POST /admin/api/keys HTTP/1.1", "POST /v1/nothing HTTP/1.1"]) {
    const startedAt = performance.now();
    const socket = connect(relay.port, "127.0.0.1");
    const drip = setInterval(() => socket.write("x"), 100);
    await new Promise<void>((resolve) => {
      socket.on("error", () => undefined);
      socket.on("close", () => resolve());
      socket.resume();
      socket.write(head(line, "Content-Length: 100000").replaceAll(KEY, relay.key));
    });
    clearInterval(drip);
    expect([line, performance.now() - startedAt < 5_000]).toEqual([line, true]);
  }
});
