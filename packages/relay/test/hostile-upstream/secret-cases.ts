/** Every way that was thought of in which an upstream can hand back what it was sent. */
import type { RawAnswer, RawPiece, Scenario } from "../../src/simulator/scenario.ts";

/** Our secret at the upstream, as a base64-like key has its odd characters. */
export const UPSTREAM_KEY = "sk-canary-upstream-9f8e7d6c5b4a_Zz.Yy";
export const PROMPT = "prompt-canary-Kestrel-4417";
export const ANSWER = "answer-canary-Osprey-7723";

export interface SecretCase {
  readonly name: string;
  readonly scenario: Partial<Scenario>;
}

const SPOKEN = `You sent Bearer ${UPSTREAM_KEY} and ${PROMPT}; I was saying ${ANSWER}`;
const STREAM = { "content-type": "text/event-stream" };
const JSON_TYPE = { "content-type": "application/json" };
const HEAD = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[';

function chunk(text: string): string {
  return `data: ${HEAD}{"index":0,"delta":{"content":${JSON.stringify(text)}},"finish_reason":null}]}\n\n`;
}

const FINISH = `data: ${HEAD}{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`;

function raw(name: string, body: RawAnswer["body"] | string, more: Partial<RawAnswer> = {}): SecretCase {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  return { name, scenario: { raw: { status: 200, headers: STREAM, end: "clean", ...more, body: bytes } } };
}

function twoPieces(text: string, cutAt: number): RawPiece[] {
  const bytes = Buffer.from(text);
  return [
    { bytes: bytes.subarray(0, cutAt), afterMs: 0 },
    { bytes: bytes.subarray(cutAt), afterMs: 4 },
  ];
}

function error(members: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ error: { message: SPOKEN, type: "server_error", param: null, code: null, ...members } });
}

const ECHOES: readonly SecretCase[] = [
  { name: "echo", scenario: { fault: { kind: "echo" } } },
  { name: "echo in one event", scenario: { fault: { kind: "echo" }, chunking: "whole" } },
  { name: "echo byte by byte", scenario: { fault: { kind: "echo" }, chunking: "whole", oneBytePerWrite: true } },
  { name: "echo with CRLF", scenario: { fault: { kind: "echo" }, framing: "crlf", oneBytePerWrite: true } },
  { name: "echo in two data lines", scenario: { fault: { kind: "echo" }, framing: "two-data-lines" } },
  { name: "echo in an error event", scenario: { fault: { kind: "echo", inEvent: true } } },
  ...[400, 401, 402, 403, 404, 413, 422, 429, 500, 503].map((status) => ({
    name: `echo as ${status}`,
    scenario: { fault: { kind: "echo" as const, status } },
  })),
];

const ERRORS: readonly SecretCase[] = [400, 422, 401, 500].flatMap((status) => [
  raw(`the key in every member of error ${status}`, error({ type: UPSTREAM_KEY, code: UPSTREAM_KEY, param: UPSTREAM_KEY }), {
    status,
    headers: JSON_TYPE,
  }),
  raw(`error ${status} as text`, SPOKEN, { status, headers: { "content-type": "text/plain" } }),
  raw(`error ${status} as a list of details`, JSON.stringify({ detail: [{ loc: ["body", UPSTREAM_KEY], msg: SPOKEN }] }), {
    status,
    headers: JSON_TYPE,
  }),
]);

const HEADERS: readonly SecretCase[] = [
  raw("the key as its request id", chunk("fine") + FINISH, { headers: { ...STREAM, "x-request-id": UPSTREAM_KEY } }),
  raw("the key within its request id", chunk("fine") + FINISH, { headers: { ...STREAM, "request-id": `req-${UPSTREAM_KEY}-1` } }),
  raw("the key as the request id of an error", error({}), { status: 500, headers: { ...JSON_TYPE, "x-request-id": UPSTREAM_KEY } }),
  raw("the key in a redirect", "moved", { status: 307, headers: { location: `http://127.0.0.1:1/?k=${UPSTREAM_KEY}` } }),
  raw("the key as the content type", chunk("fine"), { headers: { "content-type": UPSTREAM_KEY } }),
  raw("the key as the encoding", chunk("fine"), { headers: { ...STREAM, "content-encoding": UPSTREAM_KEY } }),
  raw("the key as Retry-After", error({}), { status: 503, headers: { ...JSON_TYPE, "retry-after": UPSTREAM_KEY } }),
];

const STREAMS: readonly SecretCase[] = [
  raw("the key in an error event after content", `${chunk(ANSWER)}data: ${error({ code: UPSTREAM_KEY })}\n\n`),
  raw("the key in an error event before content", `data: ${error({ type: UPSTREAM_KEY })}\n\n`),
  raw("the key in an event that is not JSON", `${chunk(ANSWER)}data: ${SPOKEN}\n\n`),
  raw(
    "the key in comments, names, ids and unknown fields",
    `: ${SPOKEN}\nid: ${UPSTREAM_KEY}\nevent: ${UPSTREAM_KEY}\n${SPOKEN}\n${chunk("x")}${FINISH}`,
  ),
  raw("the key in lines that are no events", `${SPOKEN}\n${error({})}\n`),
  raw("the key as the model and the id", chunk("fine").replace('"m"', `"${UPSTREAM_KEY}"`).replace('"c"', `"${UPSTREAM_KEY}"`) + FINISH),
  raw("the key as the finish reason", chunk("fine") + FINISH.replace('"stop"', `"${UPSTREAM_KEY}"`)),
  raw("the key in an answer that is cut", chunk(SPOKEN), { end: "rst" }),
  ...Array.from({ length: UPSTREAM_KEY.length - 1 }, (_, i) => {
    const text = chunk(`before ${UPSTREAM_KEY} after`) + FINISH;
    return raw(`the key cut by a packet at its byte ${i + 1}`, twoPieces(text, text.indexOf(UPSTREAM_KEY) + i + 1));
  }),
];

function plainJson(content: string): string {
  return JSON.stringify({
    id: "c",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
  });
}

/** Larger than what is judged whole; the key stands where pieces and windows of the relay may end. */
function large(name: string, at: number, cutInKey: number): SecretCase {
  const content = `${"x".repeat(at)}${UPSTREAM_KEY}${"y".repeat(1_500_000 - at)}${ANSWER}`;
  const text = plainJson(content);
  return raw(name, twoPieces(text, text.indexOf(UPSTREAM_KEY) + cutInKey), { headers: JSON_TYPE });
}

const PLAIN: readonly SecretCase[] = [
  raw("the key in a plain answer", plainJson(SPOKEN), { headers: JSON_TYPE }),
  raw("an error object under 200", error({ code: UPSTREAM_KEY }), { headers: JSON_TYPE }),
  raw("an error text under 200", JSON.stringify({ error: SPOKEN }), { headers: JSON_TYPE }),
  raw("a page under 200", `<html>${SPOKEN}</html>`, { headers: { "content-type": "text/html" } }),
  raw("words under 200", SPOKEN, { headers: JSON_TYPE }),
  ...[10, 65_536, 524_288, 1_048_000, 1_048_540, 1_048_576, 1_400_000].map((at) => large(`a large answer with the key at ${at}`, at, 9)),
  large("a large answer with the key cut after one byte", 1_300_000, 1),
];

export const SECRET_CASES: readonly SecretCase[] = [...ECHOES, ...ERRORS, ...HEADERS, ...STREAMS, ...PLAIN];
