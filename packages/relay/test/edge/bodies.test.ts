import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call, errorOf } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" } } } } });
});
afterAll(() => relay.close());

const GOOD = '{"model":"m","messages":[{"role":"user","content":"x"}]}';
/** 50 ms is the promise; a busy machine gets some room. */
const ANSWER_MS = 300;

function post(body: Buffer | string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return call(relay, { body, headers });
}

/** A good body with one more member. */
const withMember = (member: string): string => `${GOOD.slice(0, -1)},${member}}`;

async function outcome(body: Buffer | string): Promise<readonly [number, string]> {
  const startedAt = performance.now();
  const answer = await post(body);
  expect(performance.now() - startedAt).toBeLessThan(ANSWER_MS + body.length / 20_000);
  return [answer.status, answer.status === 200 ? "" : errorOf(answer).code];
}

const OK = [200, ""] as const;
const NO_JSON = [400, "invalid_json"] as const;
const DEEP = [400, "body_too_deep"] as const;
const FAULTY = [400, "invalid_request"] as const;

const nested = (depth: number): string => withMember(`"x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}`);
const many = (count: number): string => withMember(`"x":[${"1,".repeat(count - 7)}1]`);

test.each<[string, Buffer | string, readonly [number, string]]>([
  ["a body of depth 64", nested(64), OK],
  ["a body of depth 65", nested(65), DEEP],
  ["5,000,000 brackets", "[".repeat(5_000_000), DEEP],
  ["5,000,000 braces", '{"a":'.repeat(1_000_000), DEEP],
  ["50,000 keys and elements", many(50_000), OK],
  ["50,001 keys and elements", many(50_001), DEEP],
  ["1,000,000 elements", many(1_000_000), DEEP],
  ["1,000,000 keys", withMember(`"x":{${Array.from({ length: 1_000_000 }, (_, i) => `"${i}":1`).join(",")}}`), DEEP],
  ["a number past every double", withMember('"x":1e999'), OK],
  ["a number of 100,000 digits", withMember(`"x":${"9".repeat(100_000)}`), OK],
  ["a number past 2^53", withMember('"x":9007199254740993'), OK],
  ["NaN", withMember('"x":NaN'), NO_JSON],
  ["Infinity", withMember('"x":Infinity'), NO_JSON],
  ["a number with a leading zero", withMember('"x":01'), NO_JSON],
  ["a number with a plus", withMember('"x":+1'), NO_JSON],
  ["a hex number", withMember('"x":0x1'), NO_JSON],
  ["one key twice at the top", withMember('"model":"other"'), FAULTY],
  ["one key twice, once escaped", withMember(String.raw`"mod\u0065l":"other"`), FAULTY],
  ["one key twice, once escaped with capitals", withMember(String.raw`"\u006Dodel":"other"`), FAULTY],
  ["one key twice further down", withMember('"x":{"a":1,"a":2}'), OK],
  ["__proto__ at the top", withMember('"__proto__":{"admin":true}'), FAULTY],
  ["__proto__ deep down", withMember('"x":[{"y":{"__proto__":1}}]'), FAULTY],
  ["__proto__ with an escape", withMember(String.raw`"x":{"__pr\u006fto__":1}`), FAULTY],
  [
    "__proto__ wholly escaped",
    withMember(`"x":{"${[..."__proto__"].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")}":1}`),
    FAULTY,
  ],
  ["__proto__ as a value", withMember('"x":"__proto__"'), OK],
  ["constructor and prototype", withMember('"x":{"constructor":{"prototype":{"a":1}}},"constructor":1,"prototype":2'), OK],
  ["toString and hasOwnProperty", withMember('"toString":1,"hasOwnProperty":2'), OK],
  ["bytes that are no UTF-8 in a text", Buffer.from(withMember('"x":"\xff"'), "latin1"), NO_JSON],
  ["bytes that are no UTF-8 in a key", Buffer.from(withMember('"\xc3\x28":1'), "latin1"), NO_JSON],
  ["an overlong slash", Buffer.from(withMember('"x":"\xc0\xaf"'), "latin1"), NO_JSON],
  ["a surrogate in UTF-8", Buffer.from(withMember('"x":"\xed\xa0\x80"'), "latin1"), NO_JSON],
  ["UTF-8 cut short", Buffer.from(withMember('"x":"\xe6\xa8"'), "latin1"), NO_JSON],
  ["a lone surrogate as an escape", withMember(String.raw`"x":"\ud800"`), OK],
  ["a byte order mark", `\ufeff${GOOD}`, NO_JSON],
  ["UTF-16", Buffer.from(GOOD, "utf16le"), NO_JSON],
  ["something behind the end", `${GOOD}x`, NO_JSON],
  ["a second document", GOOD + GOOD, NO_JSON],
  ["blanks around it", ` \t\r\n${GOOD} \r\n`, OK],
  ["a NUL behind it", `${GOOD}\0`, NO_JSON],
  ["nothing", "", NO_JSON],
  ["blanks", "   ", NO_JSON],
  ["a list at the top", `[${GOOD}]`, NO_JSON],
  ["a text at the top", '"model"', NO_JSON],
  ["null at the top", "null", NO_JSON],
  ["a number at the top", "1", NO_JSON],
  ["an unfinished object", GOOD.slice(0, -1), NO_JSON],
  ["an unfinished text", '{"model":"m', NO_JSON],
  ["a comma at the end", `${GOOD.slice(0, -1)},}`, NO_JSON],
  ["single quotes", "{'model':'m'}", NO_JSON],
  ["a comment", `/* */${GOOD}`, NO_JSON],
  ["a control character in a text", withMember('"x":"a\nb"'), NO_JSON],
  ["an escape that is none", withMember(String.raw`"x":"\x41"`), NO_JSON],
  ["a model that is a list", '{"model":["m"],"messages":[]}', FAULTY],
  ["a model that is empty", '{"model":"","messages":[]}', FAULTY],
  ["a model of 10,000 characters", `{"model":"${"m".repeat(10_000)}","messages":[]}`, FAULTY],
  ["messages that are an object", '{"model":"m","messages":{"length":1}}', FAULTY],
  ["stream that is a text", withMember('"stream":"true"'), FAULTY],
  ["n that is a list", withMember('"n":[1]'), FAULTY],
  ["n of 1e9", withMember('"n":1e9'), FAULTY],
  ["n of minus zero and some", withMember('"n":-0.5'), FAULTY],
  ["stream_options that are a list", withMember('"stream_options":[]'), FAULTY],
])("%s is answered as it should be, at once", async (_name, body, expected) => {
  expect(await outcome(body)).toEqual(expected);
});

test("what is legal goes up exactly as it came", async () => {
  const seen = relay.simulators["a"]?.seen ?? [];
  for (const member of ['"x":1e999', '"x":9007199254740993', String.raw`"x":"\ud800"`, '"x":{"a":1,"a":2}', '"constructor":1']) {
    const body = withMember(member);
    await post(body);
    expect(seen.at(-1)?.bodyText).toBe(body);
  }
});

test.each([
  ["gzip", "gzip", gzipSync(GOOD)],
  ["x-gzip", "x-gzip", gzipSync(GOOD)],
  ["br", "br", brotliCompressSync(GOOD)],
  ["deflate", "deflate", deflateSync(GOOD)],
  ["gzip twice", "gzip, gzip", gzipSync(gzipSync(GOOD))],
  ["zstd", "zstd", Buffer.from(GOOD)],
  ["compress", "compress", Buffer.from(GOOD)],
  ["GZIP in capitals over plain JSON", "GZIP", Buffer.from(GOOD)],
  ["identity and gzip", "identity, gzip", gzipSync(GOOD)],
  ["an empty encoding", "", Buffer.from(GOOD)],
])("an encoded body is refused: %s", async (_name, encoding, body) => {
  const answer = await post(body, { "content-encoding": encoding });
  expect([answer.status, errorOf(answer).code]).toEqual([415, "unsupported_media_type"]);
});

test.each([
  ["text/plain", 415],
  ["multipart/form-data; boundary=a", 415],
  ["application/x-www-form-urlencoded", 415],
  ["application/jsonp", 415],
  ["application/json\tx", 415],
  ["application/vnd.api+json", 415],
  ["text/json", 415],
  ["application/json, text/plain", 415],
  ["x application/json", 415],
  ["application/json", 200],
  ["Application/JSON", 200],
  ["application/json;charset=utf-8", 200],
  ["application/json ; charset=UTF-8", 200],
])("a body of type %s is answered with %i", async (type, status) => {
  const answer = await post(GOOD, { "content-type": type });
  expect(answer.status).toBe(status);
  if (status === 415) expect(errorOf(answer).code).toBe("unsupported_media_type");
});

test("a body without a content type is read as JSON", async () => {
  const response = await fetch(`${relay.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${relay.key}` },
    body: new Blob([GOOD]),
  });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
});

test("an encoding of identity is no encoding", async () => {
  expect((await post(GOOD, { "content-encoding": "identity" })).status).toBe(200);
});
