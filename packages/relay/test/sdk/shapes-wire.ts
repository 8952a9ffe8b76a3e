/** How events are written, and how a body ends: shapes of the wire that SDKs meet. */
import { chunk, delta, DONE, event, events, FINISH, GOOD, ROLE, said, shapeMaker, text } from "./shape.ts";
import type { Shape } from "./shape.ts";

const make = shapeMaker("wire", "Héllo");

const LAST = event(DONE);
const FIRST_TWO = events(ROLE, text("Hé"));
const LAST_TWO = events(text("llo"), FINISH);
const ERROR = { message: "boom", type: "server_error", param: null, code: null };
const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };

/** Every event of the good answer with lines before or after it. */
function each(write: (data: string, number: number) => string, list: readonly string[] = [...GOOD, DONE]): string[] {
  return list.map((data, at) => write(data, at + 1));
}

function withId(data: string, id: number): string {
  return `id: ${id}\ndata: ${data}\n\n`;
}

function twoLines(data: string): string {
  const comma = data.indexOf(",");
  return `data: ${data.slice(0, comma + 1)}\ndata: ${data.slice(comma + 1)}\n\n`;
}

/** Short chunks, for what is sent byte by byte. */
const SHORT = ['{"role":"assistant"}', '{"content":"Hé"}', '{"content":"llo"}'].map(
  (part) =>
    `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":${part},"finish_reason":null}]}`,
);
const SHORT_FINISH =
  '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}';

const KA_BLANK = ": keep-alive\n\n";

export const WIRE_SHAPES: readonly Shape[] = [
  make("good", "4 chunks + [DONE]", [...events(...GOOD), LAST]),
  make("ids-everywhere", "`id:` on every event incl. [DONE]", each(withId)),
  make("ids-not-on-done", "ids on chunks, none on [DONE]", [...each(withId, GOOD), LAST]),
  make(
    "ids-comment-blank",
    "ids, then `: keep-alive` + blank line between events",
    each((data, id) => withId(data, id) + KA_BLANK),
  ),
  make(
    "ids-comment-line",
    "ids, then `: keep-alive` + ONE newline",
    each((data, id) => `: keep-alive\n${withId(data, id)}`),
  ),
  make("comment-before-ids", "comment + blank line only before the first id", [KA_BLANK, ...each(withId)]),
  make(
    "comment-blank",
    "no ids, comment + blank line",
    each((data) => KA_BLANK + event(data)),
  ),
  make(
    "ids-extra-blank",
    "ids, one extra blank line",
    each((data, id) => `${withId(data, id)}\n`),
  ),
  make(
    "extra-blanks",
    "no ids, extra blank lines",
    each((data) => `${event(data)}\n\n`),
  ),
  make("retry-block", "`retry: 3000` + blank line first", ["retry: 3000\n\n", ...events(...GOOD), LAST]),
  make("retry-line", "`retry:` line inside the first data event", [`retry: 3000\n${event(ROLE)}`, ...events(...GOOD.slice(1)), LAST]),
  make("id-reset", "id reset by a bare `id` line, then comment + blank line", [
    ...each((data, id) => `${withId(data, id)}id\n${KA_BLANK}`, GOOD),
    LAST,
  ]),
  make("id-block", "`id: 5` + blank line (no data)", ["id: 5\n\n", ...events(...GOOD), LAST]),
  make("ping-data", "`event: ping` + `data: {}`", [event(ROLE), "event: ping\ndata: {}\n\n", ...events(...GOOD.slice(1)), LAST]),
  make("ping-blank", "`event: ping` + blank line", [event(ROLE), "event: ping\n\n", ...events(...GOOD.slice(1)), LAST]),
  make("empty-data", "`data:` + blank line", [event(ROLE), "data:\n\n", ...events(...GOOD.slice(1)), LAST]),
  make("error-named", '`event: error` + {"error":{…}}', [...FIRST_TWO, `event: error\n${event(JSON.stringify({ error: ERROR }))}`], {
    code: "upstream_failed",
  }),
  make("error-unnamed", 'unnamed {"error":{…}}', [...FIRST_TWO, event(JSON.stringify({ error: ERROR }))], { code: "upstream_failed" }),
  make("error-then-done", '{"error":{…}} then [DONE]', [...FIRST_TWO, event(JSON.stringify({ error: ERROR })), LAST], {
    code: "upstream_failed",
  }),
  make("error-string", '{"error":"boom"}', [...FIRST_TWO, event('{"error":"boom"}')], { code: "upstream_failed" }),
  make(
    "error-in-chunk",
    "chunk with error + finish_reason error",
    [...FIRST_TWO, event(delta({ content: "" }, "error", { error: { code: 502, message: "boom" } })), LAST],
    { code: "upstream_failed" },
  ),
  make("error-null", "chunk with error:null", [...events(ROLE, delta({ content: "Hé" }, null, { error: null })), ...LAST_TWO, LAST]),
  make("error-event-bare", "`event: error`, no error key", [...FIRST_TWO, 'event: error\ndata: {"message":"boom"}\n\n', LAST], {
    code: "upstream_failed",
  }),
  make("eof", "clean EOF, no finish, no [DONE]", FIRST_TWO, { code: "upstream_truncated" }),
  make("eof-after-finish", "clean EOF after finish, no [DONE]", events(...GOOD)),
  make("eof-in-event", "clean EOF inside an event", [event(ROLE), event(text("Hé")).slice(0, -20)], {
    code: "upstream_failed",
  }),
  make("done-last-bytes", "`data: [DONE]` as last bytes", [...events(...GOOD), `data: ${DONE}`]),
  make("done-one-newline", "`data: [DONE]` as last bytes, one newline behind it", [...events(...GOOD), `data: ${DONE}\n`]),
  make("json-last-bytes", "last event complete JSON but no newline", [...FIRST_TWO, `data: ${text("llo")}`], {
    code: "upstream_truncated",
  }),
  make("destroyed", "TCP destroy after 2 chunks", FIRST_TWO, { end: "rst", code: "upstream_truncated" }),
  make("two-data-lines", "JSON over two data lines", [...each(twoLines, GOOD), LAST]),
  make(
    "crlf",
    "CRLF",
    each((data) => `data: ${data}\r\n\r\n`),
  ),
  make(
    "cr",
    "lone CR",
    each((data) => `data: ${data}\r\r`),
  ),
  make("bom", "leading BOM", [`\uFEFF${event(ROLE)}`, ...events(...GOOD.slice(1)), LAST]),
  make(
    "no-space",
    "`data:` without space",
    each((data) => `data:${data}\n\n`),
  ),
  make(
    "two-spaces",
    "two spaces after the colon",
    each((data) => `data:  ${data}\n\n`),
  ),
  make("done-space", "`[DONE] ` trailing space", [...events(...GOOD), `data: ${DONE} \n\n`]),
  make("after-done", "a chunk after [DONE]", [...events(...GOOD), LAST, event(text("XX"))]),
  make("usage-chunk", "choices:[] + usage", [...events(...GOOD, chunk([], { usage: USAGE })), LAST]),
  make("no-choices-first", "choices:[] chunk first", [event(chunk([])), ...events(...GOOD), LAST]),
  make(
    "reasoning",
    "reasoning_content + unknown top-level field",
    [...events(ROLE, delta({ reasoning_content: "hm" }, null, { x_unknown: { a: [1] } }), ...GOOD.slice(1)), LAST],
    { answer: [said("Héllo", { reasoning: "hm" })] },
  ),
  make(
    "named-chunk",
    "`event: chunk` on every event",
    each((data) => `event: chunk\n${event(data)}`),
  ),
  make(
    "named-message",
    "`event: message` on every event",
    each((data) => `event: message\n${event(data)}`),
  ),
  make("byte-by-byte", "one byte per write, with ids", each(withId, [...SHORT, SHORT_FINISH, DONE]), { oneBytePerWrite: true }),
  make(
    "byte-by-byte-crlf",
    "same with CRLF",
    each((data, id) => withId(data, id).replaceAll("\n", "\r\n"), [...SHORT, SHORT_FINISH, DONE]),
    { oneBytePerWrite: true },
  ),
  make("broken-json", "one event with broken JSON", [event(ROLE), event(text("Hé").slice(0, -3)), ...LAST_TWO, LAST], {
    code: "upstream_failed",
  }),
  make("held-open", "[DONE], socket held open 3 s", [...events(...GOOD), LAST, { text: "", afterMs: 3_000 }], { isPrompt: true }),
  make(
    "ndjson",
    "NDJSON lines, no data: prefix",
    each((data) => `${data}\n`, GOOD),
    { code: "upstream_failed" },
  ),
];
