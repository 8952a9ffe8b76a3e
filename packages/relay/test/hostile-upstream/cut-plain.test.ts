import { afterAll, beforeAll, expect, test } from "vitest";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { expectAtRest, guard } from "./guards.ts";
import type { Guard } from "./guards.ts";
import { startRawUpstream } from "./raw-upstream.ts";
import type { RawUpstream } from "./raw-upstream.ts";

const MIB = 1024 * 1024;
const AT_ONCE = 32;

function answerOf(content: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      id: "c",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    }),
  );
}

const SMALL = answerOf('Grüße, wörld 你好 "quoted" 🙂 and the rest of it');
const LARGE = answerOf("large ".repeat((3 * MIB) / 6));
type Size = "small" | "large";
type Framing = "length" | "bare";

function wireOf(body: Buffer, framing: Framing): { bytes: Buffer; headBytes: number } {
  const length = framing === "length" ? `Content-Length: ${body.length}\r\n` : "";
  const head = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${length}\r\n`);
  return { bytes: Buffer.concat([head, body]), headBytes: head.length };
}

const watch: Guard = guard();
let raw: RawUpstream;
let alone: TestRelay;
let both: TestRelay;

beforeAll(async () => {
  raw = await startRawUpstream((request) => {
    const [, size, framing, at, end] = /"x_cut":"(\w+) (\w+) (\d+) (\w+)"/.exec(request) ?? [];
    const { bytes, headBytes } = wireOf(size === "large" ? LARGE : SMALL, framing === "bare" ? "bare" : "length");
    return { bytes: bytes.subarray(0, headBytes + Number(at)), end: end === "rst" ? "rst" : "fin" };
  });
  const a = { baseUrl: raw.baseUrl };
  alone = await startRelay({ upstreams: { a } });
  both = await startRelay({ upstreams: { a, b: { simulator: { scenario: { text: "from b" } } } } });
});

afterAll(async () => {
  await Promise.all([alone.close(), both.close(), raw.close()]);
  watch.stop();
});

interface Cut {
  readonly size: Size;
  readonly framing: Framing;
  readonly at: number;
  readonly end: "fin" | "rst";
}

function ask(relay: TestRelay, cut: Cut): Promise<Answer> {
  return call(relay, { body: { model: "m", messages: MESSAGES, x_cut: `${cut.size} ${cut.framing} ${cut.at} ${cut.end}` } });
}

async function runAll(relay: TestRelay, cuts: readonly Cut[], judge: (cut: Cut, answer: Answer) => boolean): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let cut = cuts[next++]; cut !== undefined; cut = cuts[next++]) {
      const answer = await ask(relay, cut);
      if (!judge(cut, answer))
        wrong.push(`${Object.values(cut).join(" ")}: ${answer.status} whole ${answer.isWhole}, ${answer.body.length} characters`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return wrong;
}

/** Every way to cut so many bytes; a reset may take the last bytes of a whole answer with it, so there it is left out. */
function cutsOf(size: Size, offsets: readonly number[]): Cut[] {
  const whole = size === "small" ? SMALL.length : LARGE.length;
  return offsets.flatMap((at) =>
    (["length", "bare"] as const).flatMap((framing) =>
      (["fin", "rst"] as const).filter((end) => end === "fin" || at < whole).map((end): Cut => ({ size, framing, at, end })),
    ),
  );
}

function isRefused(answer: Answer): boolean {
  return answer.status === 502 && answer.isWhole && errorOf(answer).code === "upstream_failed";
}

const EVERY_OFFSET = Array.from({ length: SMALL.length + 1 }, (_, at) => at);

test("a plain answer cut at every byte is an error, and whole only when it is whole", async () => {
  const wrong = await runAll(alone, cutsOf("small", EVERY_OFFSET), ({ at }, answer) =>
    at < SMALL.length ? isRefused(answer) : answer.status === 200 && answer.isWhole && answer.body === SMALL.toString(),
  );
  expect(wrong).toEqual([]);
});

test("with a second upstream a cut plain answer is replaced by a whole one", async () => {
  const wrong = await runAll(both, cutsOf("small", EVERY_OFFSET), ({ at }, answer) =>
    at < SMALL.length
      ? answer.status === 200 && answer.isWhole && answer.body.includes("from b") && !answer.body.includes("Grüße")
      : answer.isWhole && answer.body === SMALL.toString(),
  );
  expect(wrong).toEqual([]);
});

test("a large plain answer is replaced while nothing of it has left, and broken off afterwards", async () => {
  const offsets = [
    0,
    1,
    5_000,
    MIB - 70_000,
    MIB - 1,
    MIB,
    2 * MIB,
    3 * MIB,
    LARGE.length - 65_537,
    LARGE.length - 100,
    LARGE.length - 1,
    LARGE.length,
  ];
  const text = LARGE.toString();
  const wrong = await runAll(both, cutsOf("large", offsets), ({ at, end }, answer) => {
    if (at === LARGE.length) return answer.isWhole && answer.body === text;
    // A reset throws away what has not arrived yet, perhaps all that would have left.
    if (at <= MIB || (end === "rst" && answer.isWhole)) return answer.isWhole && answer.body.includes("from b");
    return answer.status === 200 && !answer.isWhole && text.startsWith(answer.body);
  });
  expect(wrong).toEqual([]);
});

test("afterwards nothing is in flight and nothing was thrown", async () => {
  await expectAtRest(alone, watch);
  await expectAtRest(both, watch);
});
