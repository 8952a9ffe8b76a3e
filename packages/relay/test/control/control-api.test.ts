import { afterAll, beforeAll, expect, test } from "vitest";
import { newKeyRecord } from "../../src/admission/keys.ts";
import { call, errorOf, newAddress } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";

const TOKEN = "mra_0123456789abcdefghijklmnopqrstuvwxyz";
const OWNER = `Bearer ${TOKEN}`;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "ok" } } } } });
});
afterAll(() => relay.close());

interface Ask {
  readonly authorization?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly from?: string;
}

function ask(method: string, path: string, { authorization = OWNER, headers = {}, body = null, from }: Ask = {}): Promise<Answer> {
  return call(relay, { method, path, body, headers: { authorization, ...headers }, ...(from === undefined ? {} : { from }) });
}

const parsed = (answer: Answer): Record<string, unknown> => JSON.parse(answer.body) as Record<string, unknown>;
const outcome = (answer: Answer): readonly [number, string] => [answer.status, errorOf(answer).code];

/** Holds for every answer of the control plane. */
function expectPrivate(answer: Answer): void {
  expect(answer.headers["cache-control"]).toContain("no-store");
  expect(answer.headers["x-content-type-options"]).toBe("nosniff");
  expect(answer.headers["x-request-id"]).toMatch(/^req_/);
  const names = Object.keys(answer.headers);
  expect(names.filter((name) => name.startsWith("access-control-") || name === "etag" || name === "set-cookie")).toEqual([]);
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"];
const PATHS = [
  "/admin",
  "/admin/",
  "/admin/api",
  "/admin/api/keys",
  "/admin/api/keys/",
  "/admin/api/keys/key_unknown",
  "/admin/api/keys/key_unknown/rotate",
  "/admin/api/accounts",
  "/admin/api/accounts/acc_unknown",
  "/admin/api/users",
  "/admin/api/openapi.json",
  "/admin/api/keys/%zz",
  "/admin/x;y",
];

test.each(PATHS)("%s answers nobody but the owner, whatever the method", async (path) => {
  const strangers = [
    "",
    "Bearer",
    `Bearer ${relay.key}`,
    "Bearer mra_wrong-0123456789abcdefghijklmnopqrstuv",
    TOKEN,
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN} ${TOKEN}`,
  ];
  for (const method of METHODS) {
    for (const authorization of strangers) {
      const answer = await ask(method, path, { authorization, body: method === "POST" ? {} : null, from: newAddress() });
      expect([method, authorization, answer.status]).toEqual([method, authorization, 401]);
      expectPrivate(answer);
      if (method !== "HEAD") expect(errorOf(answer)).toMatchObject({ type: "authentication_error", param: null });
    }
  }
});

test("the token counts in Authorization alone", async () => {
  for (const name of ["x-api-key", "api-key", "cookie", "x-admin-token"])
    expect((await ask("GET", "/admin/api/keys", { authorization: "", headers: { [name]: TOKEN } })).status).toBe(401);
  expect((await ask("GET", `/admin/api/keys?token=${TOKEN}`, { authorization: "" })).status).toBe(401);
  expect((await call(relay, { headers: { authorization: OWNER } })).status).toBe(401);
});

test("on loopback only loopback names reach the control plane", async () => {
  for (const host of [
    "evil.test",
    "evil.test:8787",
    "localhost.evil.test",
    "127.0.0.1.evil.test",
    "0.0.0.0",
    "10.0.0.1",
    "[::2]",
    "[::ffff:10.0.0.1]",
    " ",
  ]) {
    const answer = await ask("GET", "/admin/api/keys", { headers: { host } });
    expect([host, ...outcome(answer)]).toEqual([host, 421, "misdirected_request"]);
    expectPrivate(answer);
  }
  for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8787", "127.1.2.3", "[::1]", "[::1]:8787"])
    expect([host, (await ask("GET", "/admin/api/keys", { headers: { host } })).status]).toEqual([host, 200]);
});

test("no origin is ever allowed across sites, on any plane", async () => {
  const headers = {
    origin: "https://evil.test",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization",
  };
  for (const path of ["/admin/api/keys", "/v1/models", "/v1/chat/completions", "/healthz", "/metrics"]) {
    for (const method of ["GET", "OPTIONS", "POST"]) {
      const answer = await ask(method, path, {
        authorization: path.startsWith("/v1") ? `Bearer ${relay.key}` : OWNER,
        headers,
        body: method === "POST" ? {} : null,
      });
      expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control-"))).toEqual([]);
      expect(answer.headers["etag"]).toBeUndefined();
      expect(answer.headers["cache-control"]).toContain("no-store");
    }
  }
});

test.each<[string, unknown, Readonly<Record<string, string>>, number, string]>([
  ["no JSON", "{", {}, 400, "invalid_json"],
  ["a list", [], {}, 400, "invalid_request"],
  ["null", "null", {}, 400, "invalid_request"],
  ["a text", '"x"', {}, 400, "invalid_request"],
  ["nothing though it says JSON", "", {}, 400, "invalid_json"],
  ["a key that is not known", { admin: true }, {}, 400, "invalid_request"],
  ["an account that does not exist", { account_id: "other" }, {}, 400, "invalid_request"],
  ["a name that is a number", { name: 1 }, {}, 400, "invalid_request"],
  ["an empty name", { name: "  " }, {}, 400, "invalid_request"],
  ["a name of 101 characters", { name: "n".repeat(101) }, {}, 400, "invalid_request"],
  ["__proto__", '{"__proto__":{"admin":true}}', {}, 400, "invalid_request"],
  ["an escaped __proto__", String.raw`{"__pr\u006fto__":{"admin":true}}`, {}, 400, "invalid_request"],
  ["constructor.prototype", '{"constructor":{"prototype":{"admin":true}}}', {}, 400, "invalid_request"],
  ["a form", "name=x", { "content-type": "application/x-www-form-urlencoded" }, 415, "unsupported_media_type"],
  ["plain text", "{}", { "content-type": "text/plain" }, 415, "unsupported_media_type"],
  ["gzip", "x", { "content-encoding": "gzip" }, 415, "unsupported_media_type"],
  ["2 MiB", `{"name":"${"n".repeat(2 * 1024 * 1024)}"}`, {}, 413, "body_too_large"],
  ["5,000 brackets", "[".repeat(5_000), {}, 400, "body_too_deep"],
])("a new key asked for with %s is refused, and none is made", async (_name, body, headers, status, code) => {
  const before = relay.app.keys.list().length;
  const answer = await ask("POST", "/admin/api/keys", { body, headers });
  expect(outcome(answer)).toEqual([status, code]);
  expectPrivate(answer);
  expect(relay.app.keys.list().length).toBe(before);
  expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
});

test("a made key is shown once, works at once, and is never seen again; nor is its hash", async () => {
  const answer = await ask("POST", "/admin/api/keys", { body: { name: "  <b>shown once</b> '; --" } });
  const made = parsed(answer) as { id: string; key: string; name: string; hint: string };
  expect(answer.status).toBe(201);
  expect(made.name).toBe("<b>shown once</b> '; --");
  expect((await call({ port: relay.port, key: made.key }, { method: "GET", path: "/v1/models", body: null })).status).toBe(200);
  const { sha256 } = relay.app.keys.find(made.id) ?? { sha256: Buffer.alloc(0) };
  const list = (await ask("GET", "/admin/api/keys?limit=500")).body;
  for (const secret of [made.key, made.key.slice(10), sha256.toString("hex"), sha256.toString("base64"), "sha256"])
    expect(list).not.toContain(secret);
  expect(list).toContain(made.id);
  expect(relay.logLines.join("")).not.toContain(made.key);
});

test("a revoked key is refused within a second; revoking again changes nothing", async () => {
  const made = parsed(await ask("POST", "/admin/api/keys", { body: {} })) as { id: string; key: string };
  const first = await ask("DELETE", `/admin/api/keys/${made.id}`);
  expect(first.status).toBe(200);
  const startedAt = performance.now();
  const refused = await call({ port: relay.port, key: made.key });
  expect(outcome(refused)).toEqual([401, "key_revoked"]);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(parsed(await ask("DELETE", `/admin/api/keys/${made.id}`))).toEqual(parsed(first));
});

test("ids that are none are 404, whatever they hold", async () => {
  for (const id of [
    "key_x",
    "__proto__",
    "constructor",
    "'%20OR%20'1'='1",
    "%25%25%25",
    "key_%7f",
    "a".repeat(500),
    "%F0%9F%98%80",
    "..;",
  ]) {
    const answer = await ask("DELETE", `/admin/api/keys/${id}`);
    expect([id, answer.status]).toEqual([id, 404]);
    expectPrivate(answer);
  }
});

test("pages follow each other without gap or repeat, and a cursor that is none is refused", async () => {
  for (let i = 0; i < 25; i++) await relay.app.keys.insert(newKeyRecord("default", `page ${i}`, Date.now() + i).record);
  const all = (parsed(await ask("GET", "/admin/api/keys?limit=500")) as { data: { id: string }[] }).data.map((key) => key.id);
  const seen: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page = parsed(await ask("GET", `/admin/api/keys?limit=7${cursor === "" ? "" : `&cursor=${cursor}`}`)) as {
      data: { id: string }[];
      next: string | null;
    };
    expect(page.data.length).toBeLessThanOrEqual(7);
    seen.push(...page.data.map((key) => key.id));
    cursor = page.next;
  }
  expect(seen).toEqual(all);
  const wrong = [
    "limit=0",
    "limit=501",
    "limit=-1",
    "limit=x",
    "limit=1.5",
    "limit=1&limit=2",
    "cursor=nobody",
    "cursor=__proto__",
    `cursor=${"c".repeat(201)}`,
    "sort=name",
    "__proto__[a]=b",
    "constructor=1",
  ];
  for (const query of wrong)
    expect([query, ...outcome(await ask("GET", `/admin/api/keys?${query}`))]).toEqual([query, 400, "invalid_request"]);
});
