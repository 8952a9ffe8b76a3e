/** Answers that fail before any output, in every way that upstreams know: nothing is charged, and nothing stays set aside. */
import { describe, expect, onTestFinished, test } from "vitest";
import type { Fault } from "../../src/simulator/fault.ts";
import { startRawUpstream } from "../hostile-upstream/raw-upstream.ts";
import { DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

const TEXT = "one two three four five six";
const SHORT = { firstEventMs: 300, payloadIdleMs: 300, transportIdleMs: 300, totalMs: 1_000 };

const FAULTS: readonly Fault[] = [
  ...[400, 401, 402, 403, 404, 413, 422, 429, 500, 503].map((status): Fault => ({ kind: "status", status })),
  { kind: "redirect", status: 302, location: "http://127.0.0.1:1/" },
  { kind: "refuse" },
  { kind: "hang" },
  { kind: "hang-headers" },
  { kind: "stall", events: 0 },
  { kind: "stall", events: 1 },
  { kind: "garbage" },
  { kind: "101" },
  { kind: "gzip" },
  { kind: "blank" },
  { kind: "multi-json-body" },
  { kind: "rst", bytes: 0 },
  { kind: "rst", bytes: 100 },
  { kind: "cut", bytes: 100 },
  { kind: "garbage-event", afterEvents: 0 },
  { kind: "error-event", afterEvents: 0, shape: "openai" },
  { kind: "error-event", afterEvents: 1, shape: "openai" },
];

/** Of streams alone: a plain answer has no events. */
const STREAM_FAULTS: readonly Fault[] = [
  { kind: "comments-only" },
  { kind: "role-only" },
  { kind: "done-only" },
  { kind: "json-instead-of-stream" },
  { kind: "ndjson" },
];

/** Of plain answers alone. */
const PLAIN_FAULTS: readonly Fault[] = [{ kind: "short-length" }, { kind: "blank-lines-only" }];

const CASES = [
  ...[...FAULTS, ...STREAM_FAULTS].map((fault) => [true, fault] as const),
  ...[...FAULTS, ...PLAIN_FAULTS].map((fault) => [false, fault] as const),
];

describe("an answer that fails before any output costs nothing", () => {
  test.each(CASES)("streamed: %s, %j", async (stream, fault) => {
    shop = await Shop.open("5.00", { text: TEXT, fault }, { upstream: { timeouts: SHORT } });
    const answer = await shop.ask({ ...SMALL, stream });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(shop.simulator.counts.requests).toBeGreaterThan(0);
    const id = String(answer.headers["x-request-id"]);
    const row = await shop.rowWhere(`id = '${id}'`);
    expect(row).toMatchObject({ basis: "none", input_tokens: 0n, output_tokens: 0n, charge_nanos: 0n });
    expect(["refused", "upstream_failed", "upstream_timeout", "upstream_stalled", "upstream_truncated"]).toContain(row["end_reason"]);
    expect(await shop.hold(id)).toMatchObject({ state: "voided", charged: 0n });
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR), held_nanos: "0" });
  });
});

test.each(["cut", "rst"] as const)("a plain answer too large to be judged whole that breaks off (%s) costs nothing", async (kind) => {
  const MIB = 1024 * 1024;
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${4 * MIB}\r\n\r\n`;
  const begun = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"`;
  const bytes = Buffer.from(head + begun + "x".repeat(3 * MIB));
  const raw = await startRawUpstream(() => ({ bytes, end: kind === "cut" ? "fin" : "open" }));
  onTestFinished(() => raw.close());
  shop = await Shop.open("5.00", {}, { upstream: { baseUrl: raw.baseUrl } });
  // A reset throws away what the relay has not read yet, so it waits until the client has the first of it.
  const answer = await shop.ask({ ...SMALL, stream: false }, kind === "cut" ? {} : { onBytes: () => raw.reset() });
  expect([answer.status, answer.isWhole]).toEqual([200, false]);
  const id = String(answer.headers["x-request-id"]);
  expect(await shop.rowWhere(`id = '${id}'`)).toMatchObject({
    basis: "none",
    input_tokens: 0n,
    output_tokens: 0n,
    charge_nanos: 0n,
    end_reason: "upstream_truncated",
  });
  expect(await shop.hold(id)).toMatchObject({ state: "voided", charged: 0n });
  expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR), held_nanos: "0" });
});

test("a stream that breaks off when what was delivered has no token yet costs nothing", async () => {
  const call = { index: 0, id: "call_1", type: "function", function: { name: "", arguments: "" } };
  const chunk = {
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta: { tool_calls: [call] } }],
  };
  const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 10000\r\n\r\n";
  const raw = await startRawUpstream(() => ({ bytes: Buffer.from(`${head}data: ${JSON.stringify(chunk)}\n\n`), end: "fin" }));
  try {
    shop = await Shop.open("5.00", {}, { upstream: { baseUrl: raw.baseUrl } });
    const answer = await shop.ask();
    const row = await shop.rowWhere(`id = '${String(answer.headers["x-request-id"])}'`);
    expect([answer.isWhole, row["basis"], row["charge_nanos"]]).toEqual([false, "none", 0n]);
  } finally {
    await raw.close();
  }
});

test.each(["openai", "vllm", "openrouter"] as const)("the words of an upstream's error are no output (%s)", async (shape) => {
  const outputOf = async (text: string): Promise<bigint> => {
    shop.simulator.setScenario({ text, fault: { kind: "error-event", afterEvents: 4, shape } });
    const answer = await shop.ask();
    expect([answer.status, answer.isWhole]).toEqual([200, false]);
    return BigInt(String((await shop.rowWhere(`id = '${String(answer.headers["x-request-id"])}'`))["output_tokens"]));
  };
  shop = await Shop.open("500.00", { text: TEXT });
  // A role and three words were sent before it.
  expect(await outputOf("one two three four")).toBeLessThanOrEqual(6n);
  expect(await outputOf("a b c d e")).toBeLessThan(await outputOf("hundreds thousands millions billions"));
});
