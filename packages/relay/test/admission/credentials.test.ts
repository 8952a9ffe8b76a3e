import { DEFAULT_ACCOUNT } from "../../src/admission/accounts.ts";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isWellFormed, newKeyRecord, recordOf } from "../../src/admission/keys.ts";
import { call, errorOf } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { exchange } from "../edge/raw.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" } } } } });
});
afterAll(() => relay.close());

const CARRIERS: readonly (readonly [string, (key: string) => string])[] = [
  ["authorization", (key) => `Bearer ${key}`],
  ["x-api-key", (key) => key],
  ["api-key", (key) => key],
];

function ask(headers: Readonly<Record<string, string>>): Promise<Answer> {
  const { port } = relay;
  return call({ port, key: "" }, { method: "GET", path: "/v1/models", body: null, headers: { authorization: "", ...headers } });
}

/** Sends header bytes that an HTTP library would refuse to send. */
async function askRaw(line: Buffer | string): Promise<{ status: number; code: string; message: string }> {
  const bytes = Buffer.concat([Buffer.from("GET /v1/models HTTP/1.1\r\nHost: a\r\n"), Buffer.from(line), Buffer.from("\r\n\r\n")]);
  const sight = await exchange(relay.port, bytes, { answers: 1, isClosing: false });
  const answer = sight.answers[0];
  const parsed = JSON.parse(answer?.body ?? "{}") as { error?: { code: string; message: string } };
  return { status: answer?.status ?? 0, code: parsed.error?.code ?? "", message: parsed.error?.message ?? "" };
}

async function codeOf(answer: Promise<Answer>): Promise<string> {
  const got = await answer;
  expect(got.status).toBe(401);
  expect(got.headers["www-authenticate"]).toBe("Bearer");
  return errorOf(got).code;
}

const changed = (key: string): string => key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");

test.each(CARRIERS)("a key in %s passes the same gate: good, mistyped, unknown, revoked, expired", async (name, write) => {
  expect((await ask({ [name]: write(relay.key) })).status).toBe(200);
  expect(await codeOf(ask({ [name]: write(changed(relay.key)) }))).toBe("key_malformed");
  expect(await codeOf(ask({ [name]: write(newKeyRecord(DEFAULT_ACCOUNT, "x", 1).text) }))).toBe("key_invalid");
  expect(await codeOf(ask({ [name]: write("sk-somebody-elses-key-0123456789") }))).toBe("key_invalid");
  expect(await codeOf(ask({ [name]: write("sk-short") }))).toBe("key_malformed");
  expect(await codeOf(ask({ [name]: write("pk-0123456789012345678901234567890") }))).toBe("key_malformed");
  const revoked = newKeyRecord(DEFAULT_ACCOUNT, "revoked", Date.now());
  await relay.app.keys.insert({ ...revoked.record, revokedAt: Date.now() });
  expect(await codeOf(ask({ [name]: write(revoked.text) }))).toBe("key_revoked");
  expect(await codeOf(ask({ [name]: write(changed(revoked.text)) }))).toBe("key_malformed");
  const expired = newKeyRecord(DEFAULT_ACCOUNT, "expired", Date.now());
  await relay.app.keys.insert({ ...expired.record, expiresAt: Date.now() - 1 });
  expect(await codeOf(ask({ [name]: write(expired.text) }))).toBe("key_expired");
  const living = newKeyRecord(DEFAULT_ACCOUNT, "living", Date.now());
  await relay.app.keys.insert({ ...living.record, expiresAt: Date.now() + 60_000 });
  expect((await ask({ [name]: write(living.text) })).status).toBe(200);
});

test("a key of the caller's own needs no checksum, and key_revoked is said only of exactly that key", async () => {
  const own = "sk-own-key-of-a-container-0123456789abcdef";
  const record = recordOf(own, DEFAULT_ACCOUNT, "own", Date.now());
  await relay.app.keys.insert(record);
  expect((await ask({ "x-api-key": own })).status).toBe(200);
  relay.app.keys.learn([{ ...record, revokedAt: Date.now() }]);
  expect(await codeOf(ask({ "x-api-key": own }))).toBe("key_revoked");
  for (const near of [changed(own), own.slice(0, -1), `${own}0`, own.toUpperCase().replace("SK-", "sk-")])
    expect(await codeOf(ask({ "x-api-key": near }))).toBe("key_invalid");
});

test("no carrier at all, or an empty one, is a missing key", async () => {
  expect(await askRaw("X-A: b")).toMatchObject({ status: 401, code: "key_missing" });
  for (const line of ["Authorization:", "Authorization: Bearer", "Authorization: Bearer ", "x-api-key:", "api-key: "])
    expect([line, await askRaw(line)]).toMatchObject([line, { status: 401, code: "key_missing" }]);
  expect((await ask({ authorization: "", "x-api-key": relay.key })).status).toBe(200);
});

test("of several carriers Authorization decides", async () => {
  expect((await ask({ authorization: `Bearer ${relay.key}`, "x-api-key": "sk-another-key-0123456789" })).status).toBe(200);
  expect(await codeOf(ask({ authorization: "Bearer sk-another-key-0123456789", "x-api-key": relay.key }))).toBe("key_invalid");
  expect(await codeOf(ask({ authorization: "Basic abcdef", "x-api-key": relay.key }))).toBe("key_malformed");
});

test("one carrier twice is refused", async () => {
  expect((await askRaw(`x-api-key: ${relay.key}\r\nx-api-key: ${relay.key}`)).status).toBe(401);
  expect((await askRaw(`api-key: ${relay.key}\r\napi-key: sk-another-key-0123456789`)).status).toBe(401);
  expect((await askRaw(`Authorization: Bearer ${relay.key}\r\nAuthorization: Bearer ${relay.key}`)).status).toBe(400);
});

test("what people paste around a key does no harm", async () => {
  const { key } = relay;
  const lines = [
    `Authorization: ${key}`,
    `authorization: bearer ${key}`,
    `AUTHORIZATION: BEARER ${key}`,
    `Authorization: Bearer   ${key}  `,
    `Authorization: Bearer\t${key}`,
    `Authorization: Bearer Bearer ${key}`,
    `Authorization: Bearer "${key}"`,
    `Authorization: "Bearer ${key}"`,
    `Authorization: Bearer '${key}'`,
    `Authorization: Bearer \`${key}\``,
    `Authorization: Bearer \u201c${key}\u201d`,
    `Authorization: Bearer \u00a0${key}\u00a0`,
    `Authorization: Bearer \ufeff${key}`,
    `Authorization: \ufeffBearer ${key}`,
    `Authorization: Bearer ${key}\u200b`,
    `x-api-key: Bearer ${key}`,
    `x-api-key: "${key}"`,
    `x-api-key: ${key}\u200b`,
  ];
  for (const line of lines) expect([line, (await askRaw(Buffer.from(line))).status]).toEqual([line, 200]);
  expect((await askRaw(Buffer.from(`Authorization: Bearer \xa0${key}`, "latin1"))).status).toBe(200);
});

test("what cannot be freed of its noise is named by kind and place, never by value", async () => {
  for (const noise of ["a b", "a\u200bb", "aéb", 'a"b', "a\tb", "模"]) {
    const { status, code, message } = await askRaw(Buffer.from(`Authorization: Bearer sk-0123456789-secret${noise}`));
    expect([status, code]).toEqual([401, "key_malformed"]);
    expect(message).toMatch(/^The key holds .* at position \d+\.$/);
    expect(message).not.toContain("secret");
  }
});

test("no scheme but Bearer is known", async () => {
  for (const scheme of ["Basic", "Digest", "Token", "ApiKey", "Bearer:", "Bearer,", "BearerX"])
    expect((await askRaw(`Authorization: ${scheme} ${relay.key}`)).status).toBe(401);
});

const SQL = [
  "' OR '1'='1",
  "'; DROP TABLE keys; --",
  '" OR ""="',
  "1) OR (1=1",
  "admin'--",
  "%%%%",
  "' UNION SELECT sha256 FROM keys --",
  "$ne",
  '{"$gt":""}',
  "\\x27",
  "sk-' OR 1=1 --",
  "sk-mr-%",
  "sk-_%",
  "x' AND SLEEP(5) --",
  "*",
  "../../data/first-key",
];

test("500 payloads of injection are refused as keys in every carrier, quickly", async () => {
  const startedAt = performance.now();
  let count = 0;
  for (let i = 0; count < 500; i++) {
    const payload = `${i % 3 === 0 ? "sk-0123456789" : ""}${SQL[i % SQL.length]}${"%".repeat((i * 7) % 200)}${i}`;
    const [name, write] = CARRIERS[i % CARRIERS.length] ?? ["authorization", (key: string) => `Bearer ${key}`];
    const answer = await ask({ [name]: write(payload) });
    expect([payload, answer.status]).toEqual([payload, 401]);
    expect(["key_malformed", "key_invalid"]).toContain(errorOf(answer).code);
    count += 1;
  }
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});

test("unknown keys cost the same whether much or nothing of them is right", () => {
  const { keys } = relay.app;
  const own = "sk-timing-0123456789abcdefghijklmnopqrstuv";
  keys.findText(own);
  const median = (text: string): number => {
    const times = Array.from({ length: 3_001 }, () => {
      const startedAt = process.hrtime.bigint();
      keys.verify(text, 0);
      return Number(process.hrtime.bigint() - startedAt);
    });
    return times.toSorted((a, b) => a - b)[1_500] ?? 0;
  };
  median(own);
  const near = median(`${own.slice(0, -1)}x`);
  const far = median(`sk-${"x".repeat(own.length - 3)}`);
  // A room of two: what is compared is a hash, so nothing can leak; this only catches a scan over all keys.
  expect(Math.max(near, far) / Math.min(near, far)).toBeLessThan(2);
  expect(readFileSync(new URL("../../src/admission/keys.ts", import.meta.url), "utf8")).toContain("timingSafeEqual(key.sha256, hash)");
});

test("made keys are well formed, all different, and any single mistyped character is caught without a look-up", () => {
  const made = Array.from({ length: 500 }, () => newKeyRecord(DEFAULT_ACCOUNT, "x", 0).text);
  expect(new Set(made).size).toBe(500);
  for (const key of made) {
    expect(key).toMatch(/^sk-mr-[0-9A-Za-z]{49}$/);
    expect(isWellFormed(key)).toBe(true);
  }
  const key = made[0] ?? "";
  for (let at = 6; at < key.length; at++) {
    const wrong = key.slice(0, at) + (key[at] === "a" ? "b" : "a") + key.slice(at + 1);
    expect(isWellFormed(wrong)).toBe(false);
  }
});
