import { createServer } from "node:http";
import type { Server } from "node:http";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { listen } from "../../src/simulator/listen.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import type { LargeBody, LargeSight } from "./send-large.ts";

const MIB = 1024 * 1024;
const BEFORE = '{"model":"m","messages":[{"role":"user","content":"';
const AFTER = '"}]}';
const PLAIN_ANSWER =
  '{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}';

let relay: TestRelay;
let upstream: Server;
let upstreamPort: number;

beforeAll(async () => {
  // Counts and forgets: an upstream that parsed 16 MiB would stall the loop that is watched here.
  upstream = createServer((request, response) => {
    request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end(PLAIN_ANSWER));
  });
  upstreamPort = await listen(upstream, "127.0.0.1");
  relay = await startRelay({ upstreams: { a: { baseUrl: `http://127.0.0.1:${upstreamPort}/v1` } } });
});
afterAll(async () => {
  await relay.close();
  upstream.closeAllConnections();
  upstream.close();
});

function send(to: { port: number; key: string }, body: Partial<LargeBody>): Promise<LargeSight> {
  const workerData = { framing: "length", before: BEFORE, filler: "x", count: 0, after: AFTER, port: to.port, key: to.key, ...body };
  const worker = new Worker(new URL("./send-large.ts", import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    worker.once("message", (sight: LargeSight) => void worker.terminate().then(() => resolve(sight), reject));
    worker.once("error", reject);
  });
}

const LARGEST = { count: 16 * MIB - BEFORE.length - AFTER.length };
const TOO_LARGE = { count: LARGEST.count + 1 };

test("the largest body passes, with a length and in chunks", async () => {
  for (const framing of ["length", "chunked"] as const) expect(await send(relay, { ...LARGEST, framing })).toMatchObject({ status: 200 });
});

test("one byte more is 413 at once: by its length alone, with a length, and in chunks", { timeout: 60_000 }, async () => {
  for (const framing of ["none", "length", "chunked"] as const) {
    const sight = await send(relay, { ...TOO_LARGE, framing });
    expect([framing, sight.status, sight.body.includes('"body_too_large"')]).toEqual([framing, 413, true]);
    expect((await costOf({ ...TOO_LARGE, framing }, { turnMs: Infinity, moreMs: 300 })).moreMs).toBeLessThan(300);
  }
});

/**
 * Watches the loop of this process. @returns a function that ends it and tells the most CPU time, in milliseconds, that one turn of
 * the loop took: what others of this machine take away does not count.
 */
function watchTurns(): () => number {
  let longest = 0;
  let before = process.threadCpuUsage();
  let next = setImmediate(look);
  function look(): void {
    const used = process.threadCpuUsage(before);
    longest = Math.max(longest, used.user + used.system);
    before = process.threadCpuUsage();
    next = setImmediate(look);
  }
  return () => {
    clearImmediate(next);
    return longest / 1_000;
  };
}

/** The best of as many rounds as it takes, but for six. `moreMs` is how much later the answer came than that to a small body in the same round. */
async function costOf(
  body: Partial<LargeBody>,
  max: { turnMs: number; moreMs: number },
): Promise<{ status: number; turnMs: number; moreMs: number }> {
  const best = { status: 0, turnMs: Infinity, moreMs: Infinity };
  for (let round = 0; round < 6 && (best.turnMs >= max.turnMs || best.moreMs >= max.moreMs); round++) {
    const longestTurn = watchTurns();
    const { status, ms } = await send(relay, body);
    best.turnMs = Math.min(best.turnMs, longestTurn());
    best.status = status;
    best.moreMs = Math.min(best.moreMs, ms - (await send(relay, { count: 1 })).ms);
  }
  return best;
}

test.each<[string, Partial<LargeBody>, number]>([
  ["one long text", LARGEST, 200],
  ["one long text of escapes", { filler: String.raw`\u00e9`, count: 2_700_000 }, 200],
  ["one long text of three-byte characters", { filler: "x", before: `${BEFORE}${"模".repeat(5_000_000)}`, count: 1 }, 200],
  ["blanks", { before: '{"model":"m",', filler: " ", count: 16 * MIB - 40, after: '"messages":[]}' }, 200],
  ["one long number", { before: '{"model":"m","messages":[],"x":', filler: "9", count: 16 * MIB - 60, after: "}" }, 200],
  ["one long key", { before: '{"model":"m","messages":[],"', filler: "k", count: 16 * MIB - 60, after: '":1}' }, 200],
  ["a model name of 16 MiB", { before: '{"messages":[],"model":"', filler: "m", count: 16 * MIB - 60, after: '"}' }, 400],
  ["bad UTF-8 at the very end", { after: `${String.fromCharCode(0xff)}"}]}`, count: 16 * MIB - 100 }, 200],
  ["millions of elements", { before: '{"model":"m","messages":[', filler: "1,", count: 8 * MIB - 60, after: "1]}" }, 400],
  ["millions of brackets", { before: "", filler: "[", count: 15 * MIB, after: "" }, 400],
  ["backslashes only", { filler: "\\\\", count: 8 * MIB - 60 }, 200],
  ["a document that ends just before its end", { ...LARGEST, after: '"}] ' }, 400],
])("16 MiB of %s never hold up the relay for 50 ms, and are answered in that time", { timeout: 60_000 }, async (_name, body, status) => {
  const max = { turnMs: 50, moreMs: status === 200 ? 1_000 : 50 };
  const seen = await costOf(body, max);
  expect(seen.status).toBe(status);
  expect(seen.turnMs).toBeLessThan(max.turnMs);
  // A good body still goes to the upstream, and its answer comes back.
  expect(seen.moreMs).toBeLessThan(max.moreMs);
});

test(
  "many large bodies at once are refused without the memory to hold them all twice, and it is not kept",
  { timeout: 60_000 },
  async () => {
    const child = await startRelayProcess({
      upstreams: {
        a: { provider: "openai-compatible", base_url: `http://127.0.0.1:${upstreamPort}/v1`, api_key: "sk-upstream-0123456789" },
      },
      models: { m: { upstreams: [{ upstream: "a", model: "m" }] } },
    });
    try {
      const peaks: number[] = [];
      for (let round = 0; round < 3; round++) {
        let peak = 0;
        const watch = setInterval(() => (peak = Math.max(peak, child.rss())), 20);
        const sights = await Promise.all(Array.from({ length: 10 }, () => send(child, { ...TOO_LARGE, framing: "chunked" })));
        clearInterval(watch);
        expect(sights.map((sight) => sight.status)).toEqual(Array.from({ length: 10 }, () => 413));
        peaks.push(Math.round(peak / MIB));
      }
      expect(Math.max(...peaks)).toBeLessThan(560);
      expect((peaks[2] ?? 0) - (peaks[0] ?? 0)).toBeLessThan(160);
    } finally {
      await child.close();
    }
  },
);
