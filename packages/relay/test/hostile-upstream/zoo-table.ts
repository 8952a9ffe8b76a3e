/** What the relay owes its client for each way an upstream can misbehave: one row a behaviour, stated, not derived. */
import type { Scenario } from "../../src/simulator/scenario.ts";

export type Expected =
  /** The whole answer, from this upstream. */
  | { readonly kind: "whole" }
  /** An HTTP error before any content; `outcome` is what the attempt's row says. Another upstream may try. */
  | { readonly kind: "refused"; readonly status: number; readonly code: string | null; readonly outcome: string; readonly isFinal: boolean }
  /** Content, then an error event and an abnormal end. No other upstream may try. */
  | { readonly kind: "cut"; readonly code: string };

export interface ZooCase {
  readonly name: string;
  readonly scenario: Partial<Scenario>;
  readonly stream: Expected;
  readonly plain: Expected;
  /** The answer is made by the fault, so its text is not the scenario's. */
  readonly hasOwnText?: true;
  /** It needs a relay of its own: the upstream is left out afterwards, or meddles with the next answer on its connection. */
  readonly ownRelay?: true;
}

const whole: Expected = { kind: "whole" };
const failed = refused(502, "upstream_failed", "failed");
const late = refused(504, "upstream_timeout", "timeout");
const truncated: Expected = { kind: "cut", code: "upstream_truncated" };
const broken: Expected = { kind: "cut", code: "upstream_failed" };

function refused(status: number, code: string | null, outcome: string): Expected {
  return { kind: "refused", status, code, outcome, isFinal: outcome === "caller" };
}

export const TEXT_A = "One two three four five six seven eight nine ten.";
const KB = 1024;

function zoo(name: string, fault: NonNullable<Scenario["fault"]>, stream: Expected, plain: Expected, more: Partial<ZooCase> = {}): ZooCase {
  return { name, stream, plain, ...more, scenario: { text: TEXT_A, fault, ...more.scenario } };
}

function status(code: number, expected: Expected, more: Partial<ZooCase> & { retryAfterMs?: number } = {}): ZooCase {
  const { retryAfterMs, ...rest } = more;
  const fault = { kind: "status" as const, status: code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  return zoo(`status ${code}${retryAfterMs === undefined ? "" : " with Retry-After"}`, fault, expected, expected, rest);
}

const STATUSES: readonly ZooCase[] = [
  ...[500, 502, 503, 504, 408, 409, 418].map((code) => status(code, failed)),
  status(404, refused(502, "upstream_failed", "model")),
  status(400, refused(400, "invalid_request", "caller")),
  status(413, refused(413, "request_too_large", "caller")),
  status(422, refused(422, "invalid_request", "caller")),
  ...[401, 402, 403].map((code) => status(code, refused(502, "upstream_failed", "credential"), { ownRelay: true })),
  ...[429, 529].map((code) => status(code, refused(429, "rate_limited", "throttled"), { ownRelay: true })),
  status(503, refused(429, "rate_limited", "throttled"), { ownRelay: true, retryAfterMs: 2_000 }),
  ...(["deepseek", "detail", "text", "html", "empty"] as const).map((shape) =>
    zoo(`status 500 worded as ${shape}`, { kind: "status", status: 500, shape }, failed, failed),
  ),
];

const ERRORS_IN_SUCCESS: readonly ZooCase[] = (["openai", "string", "vllm", "openrouter", "named"] as const).flatMap((shape) => [
  zoo(`an error event after content, as ${shape}`, { kind: "error-event", afterEvents: 3, shape }, broken, failed),
  zoo(`an error as the first event, as ${shape}`, { kind: "error-first", shape }, failed, failed),
  zoo(`an error after the role alone, as ${shape}`, { kind: "error-event", afterEvents: 1, shape }, failed, failed),
]);

const SILENCES: readonly ZooCase[] = [
  zoo("never a byte", { kind: "hang" }, late, late),
  zoo("headers and never an event", { kind: "hang-headers" }, late, late),
  zoo("silence after the role", { kind: "stall", events: 1 }, late, late),
  zoo("silence after content", { kind: "stall", events: 4 }, { kind: "cut", code: "upstream_stalled" }, late),
  zoo("one byte a minute", { kind: "drip", everyMs: 60_000 }, late, late),
  {
    name: "comments for ever and no event",
    scenario: { text: TEXT_A, ttftMs: 60_000, keepAlive: { text: ": keep-alive", everyMs: 20, blankLine: true } },
    stream: late,
    plain: late,
  },
];

const CUTS: readonly ZooCase[] = [
  zoo("a reset when the request arrives", { kind: "refuse" }, failed, failed),
  zoo("FIN before the first event is whole", { kind: "cut", bytes: 100 }, failed, failed),
  zoo("RST before the first event is whole", { kind: "rst", bytes: 100 }, failed, failed),
  zoo("FIN at the first byte", { kind: "cut", bytes: 0 }, failed, failed),
  zoo("RST at the first byte", { kind: "rst", bytes: 0 }, failed, failed),
  zoo("FIN in the middle", { kind: "cut", bytes: 1_000 }, truncated, whole),
  zoo("RST in the middle", { kind: "rst", bytes: 1_000 }, truncated, whole),
  zoo("a body shorter than its length", { kind: "short-length" }, whole, failed),
  zoo("a body that the connection's end ends", { kind: "close-delimited" }, whole, whole),
  zoo("such a body that ends early", { kind: "close-delimited", cutAtBytes: 1_000 }, truncated, whole),
  zoo("such a body that ends before content", { kind: "close-delimited", cutAtBytes: 150 }, failed, failed),
];

const WRONG_HTTP: readonly ZooCase[] = [
  zoo("bytes that are no HTTP", { kind: "garbage" }, failed, failed),
  zoo("headers with bare line feeds", { kind: "bare-lf" }, failed, failed),
  zoo("Content-Length and Transfer-Encoding", { kind: "cl-and-te" }, failed, failed),
  zoo("101 that nobody asked for", { kind: "101" }, failed, failed),
  zoo("103 before the answer", { kind: "early-hints" }, whole, whole),
  zoo("100 and 103 before the answer", { kind: "100-then-103" }, failed, failed),
  zoo("a header of 40 KB", { kind: "big-header" }, failed, failed),
  zoo("compression that nobody asked for", { kind: "gzip" }, failed, failed),
  zoo("a gzip bomb", { kind: "gzip-bomb", inflatedBytes: 20_000 * KB }, failed, failed),
  ...[301, 302, 303, 307, 308].map((code) =>
    zoo(
      `redirect ${code}`,
      { kind: "redirect", status: code, location: "http://127.0.0.1:1/x" },
      refused(502, "upstream_redirect", "redirect"),
      refused(502, "upstream_redirect", "redirect"),
    ),
  ),
];

const WRONG_BODIES: readonly ZooCase[] = [
  zoo("200 and nothing", { kind: "blank" }, failed, failed),
  zoo("comments only", { kind: "comments-only" }, failed, whole),
  zoo("the role only", { kind: "role-only" }, failed, whole),
  zoo("[DONE] only", { kind: "done-only" }, failed, whole),
  zoo("blank lines only", { kind: "blank-lines-only" }, failed, failed),
  zoo("no [DONE]", { kind: "no-done" }, whole, whole),
  zoo("no finish reason", { kind: "no-finish" }, whole, whole),
  zoo("an event of broken JSON after content", { kind: "garbage-event", afterEvents: 3 }, broken, failed),
  zoo("an event of broken JSON after the role", { kind: "garbage-event", afterEvents: 1 }, failed, failed),
  zoo("an error object under 200", { kind: "error-200" }, failed, failed),
  zoo("an error text under 200", { kind: "error-200", shape: "string" }, failed, failed),
  zoo("an HTML page under 200", { kind: "wrong-type" }, failed, failed),
  zoo("a good body called HTML", { kind: "wrong-type", contentType: "text/html" }, failed, failed),
  zoo("a plain answer to a stream", { kind: "json-instead-of-stream" }, failed, whole),
  zoo("lines of JSON without data:", { kind: "ndjson" }, failed, whole),
  zoo("several documents in one body", { kind: "multi-json-body" }, failed, failed),
  zoo("an event after [DONE]", { kind: "after-done" }, whole, whole),
  zoo("an event of no data", { kind: "empty-data" }, whole, whole),
  zoo("a new id in the middle", { kind: "id-change" }, whole, whole),
  zoo("bytes that are no UTF-8", { kind: "bad-utf8" }, whole, whole, { hasOwnText: true }),
];

const ODD_BUT_WHOLE: readonly ZooCase[] = [
  zoo("a forged response right behind", { kind: "extra-bytes", when: "same-tick" }, whole, whole),
  zoo("a forged response while idle", { kind: "extra-bytes", when: "idle" }, whole, whole, { ownRelay: true }),
  zoo("a connection closed after its answer", { kind: "close-idle", when: "after" }, whole, whole),
  zoo("a connection closed when it is used again", { kind: "close-idle", when: "reuse" }, whole, whole),
  zoo("tiny chunks", { kind: "tiny-chunks", count: 5_000 }, whole, whole, { hasOwnText: true }),
  zoo("one byte at a time", { kind: "drip", everyMs: 0 }, whole, whole),
  zoo("a body that stays open after [DONE]", { kind: "linger", ms: 300 }, whole, whole),
  zoo("its request headers as its answer", { kind: "echo" }, whole, whole, { hasOwnText: true }),
  zoo("its request headers in an error", { kind: "echo", status: 500 }, failed, failed),
  zoo("its request headers in an error event", { kind: "echo", inEvent: true }, failed, whole, { hasOwnText: true }),
];

const ENDLESS: readonly ZooCase[] = [
  zoo("a line that never ends", { kind: "endless-line" }, failed, broken),
  zoo("good events that never end", { kind: "endless-stream" }, { kind: "cut", code: "upstream_timeout" }, broken, {
    scenario: { ratePerSecond: 300 },
  }),
];

export const ZOO: readonly ZooCase[] = [
  ...STATUSES,
  ...ERRORS_IN_SUCCESS,
  ...SILENCES,
  ...CUTS,
  ...WRONG_HTTP,
  ...WRONG_BODIES,
  ...ODD_BUT_WHOLE,
  ...ENDLESS,
];
