import { Agent, request } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";

/** 20,000 in CI; 200,000 with MILLRACE_LONG=1. */
const BODIES = process.env["MILLRACE_LONG"] === "1" ? 200_000 : 20_000;
const AT_ONCE = 20;

let relay: TestRelay;
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" }, seenMax: 10 } } } });
});
afterAll(async () => {
  agent.destroy();
  await relay.close();
});

const SEEDS = [
  '{"model":"m","messages":[{"role":"user","content":"hello"}]}',
  '{"model":"m","stream":true,"stream_options":{"include_usage":true},"n":2,"messages":[{"role":"system","content":[{"type":"text","text":"a\\u00e9\\n"}]}],"temperature":0.5,"stop":["a","b"]}',
  '{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"constructor":{"type":"string"}}}}}],"tool_choice":"auto"}',
  '{"model":"模型/😀","messages":[{"role":"user","content":"\u2028"}],"metadata":{"a":null,"b":[true,false,-1.5e10]}}',
] as const;

const TOKENS = [
  '"',
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\\",
  "\\u",
  "\\ud800",
  "__proto__",
  '"model"',
  '"stream":true',
  "null",
  "1e999",
  "-",
  "\0",
  "\r\n",
  "\ufeff",
];

interface Mutation {
  readonly at: number;
  readonly cut: number;
  readonly put: Buffer;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  cut: fc.nat(6),
  put: fc.oneof(
    fc.constantFrom(...TOKENS).map((token) => Buffer.from(token)),
    fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((json) => Buffer.from(json)),
  ),
});

const mutated: fc.Arbitrary<Buffer> = fc
  .tuple(fc.constantFrom(...SEEDS), fc.array(mutation, { maxLength: 4 }))
  .map(([seed, mutations]) => mutate(Buffer.from(seed), mutations));

function mutate(seed: Buffer, mutations: readonly Mutation[]): Buffer {
  let bytes = seed;
  for (const { at, cut, put } of mutations) bytes = splice(bytes, Math.floor(at * bytes.length), cut, put);
  return bytes;
}

function splice(bytes: Buffer, at: number, cut: number, put: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(Math.min(bytes.length, at + cut))]);
}

function post(path: string, body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${relay.key}`, "content-type": "application/json", "content-length": body.length };
    const sent = request({ port: relay.port, host: "127.0.0.1", path, method: "POST", headers, agent }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode ?? 0));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const ALLOWED = [200, 400, 404];

test("no mutated body crashes the relay or gets anything but a right answer or a refusal", { timeout: 600_000 }, async () => {
  const bodies = fc.sample(mutated, { numRuns: BODIES, seed: 20_261_122 });
  const paths = ["/v1/chat/completions", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
  const counts = new Map<number, number>();
  let next = 0;
  const loop = async (): Promise<void> => {
    for (let i = next++; i < bodies.length; i = next++) {
      const body = bodies[i] ?? Buffer.alloc(0);
      const status = await post(paths[i % paths.length] ?? "/", body);
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (!ALLOWED.includes(status)) throw new Error(`${status} for ${body.toString("latin1")}`);
      if (status === 200) expect(isJson(body)).toBe(true);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, loop));
  expect(next).toBeGreaterThanOrEqual(BODIES);
  // The mutations are gentle enough that every kind of answer was seen.
  for (const status of ALLOWED) expect([status, (counts.get(status) ?? 0) > BODIES / 200]).toEqual([status, true]);
  expect(relay.logLines.filter((line) => line.includes("bug in"))).toEqual([]);
});

function isJson(body: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return true;
  } catch {
    return false;
  }
}
