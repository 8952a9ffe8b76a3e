import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { ADMIN_TOKEN, newDir, run, start, urlOf } from "./command.ts";
import type { Started } from "./command.ts";

test.each(
  [
    [],
    ["serve"],
    ["check"],
    ["simulate"],
    ...["", "create", "list", "revoke", "rotate"].map((word) => ["key", word]),
    ...["", "create", "list", "show", "close"].map((word) => ["account", word]),
    ...["", "grant", "list", "show"].map((word) => ["credit", word]),
    ...["", "create", "list", "revoke"].map((word) => ["member", word]),
    ...["", "list", "verify"].map((word) => ["audit", word]),
    ["usage"],
    ["backup"],
    ["restore"],
    ["request"],
    ["request", "show"],
  ].map((given) => {
    const words = given.filter((word) => word !== "");
    return [words.join(" "), words] as const;
  }),
)("the help of millrace %s fits a screen and goes to standard output", async (_name, words) => {
  const ran = await run([...words, "--help"]);
  expect(ran).toMatchObject({ code: 0, err: "" });
  const lines = ran.out.trimEnd().split("\n");
  expect(lines.length).toBeLessThanOrEqual(24);
  for (const line of lines) expect([line, line.length <= 80]).toEqual([line, true]);
});

test.each(
  [
    [],
    ["nonsense"],
    ["serve", "--nonsense"],
    ["serve", "extra"],
    ["serve", "--port"],
    ["serve", "--port", "http"],
    ["serve", "--port", "-1"],
    ["check"],
    ["key"],
    ["key", "nonsense"],
    ["key", "revoke"],
    ["key", "create", "--budget", "year=5.00"],
    ["key", "create", "--budget", "day"],
    ["key", "create", "--rpm", "many"],
    ["key", "create", "--models", "a,,b"],
    ["member", "create", "eve"],
    ["credit", "list"],
    ["audit", "list", "--limit", "all"],
    ["request", "show"],
    ["backup"],
    ["restore", "a", "b"],
    ["simulate", "--ttft", "soon"],
    ["simulate", "--fault", "nonsense"],
  ].map((words) => [words.join(" "), words] as const),
)("wrong usage is 2: millrace %s", async (_name, words) => {
  const ran = await run(words);
  expect(ran).toMatchObject({ code: 2, out: "" });
  expect(ran.err).not.toBe("");
  expect(ran.err).not.toContain("    at ");
});

test("check says 0 for a good file, 1 for a bad one, and both as JSON", async () => {
  const cwd = newDir();
  writeFileSync(
    join(cwd, "good.yaml"),
    "upstreams:\n  a: { provider: openai-compatible, base_url: http://127.0.0.1:1/v1 }\nmodels:\n  m: { upstreams: [ { upstream: a } ] }\n",
  );
  writeFileSync(join(cwd, "bad.yaml"), "upstreams:\n  a: { provider: nonsense }\nmodels:\n  m: { upstreams: [ { upstream: b } ] }\n");
  expect(await run(["check", "good.yaml"], { cwd })).toEqual({ code: 0, out: "good.yaml is good\n", err: "" });
  const bad = await run(["check", "bad.yaml"], { cwd });
  expect(bad.code).toBe(1);
  expect(bad.out + bad.err).toContain("bad.yaml:2");
  expect(bad.out + bad.err).toContain("bad.yaml:4");
  expect(JSON.parse((await run(["check", "good.yaml", "--json"], { cwd })).out)).toEqual({ ok: true, mistakes: [], warnings: [] });
  const json = await run(["check", "bad.yaml", "--json"], { cwd });
  expect(json.code).toBe(1);
  expect((JSON.parse(json.out) as { ok: boolean; mistakes: unknown[] }).mistakes.length).toBeGreaterThanOrEqual(2);
  expect((await run(["check", "missing.yaml"], { cwd })).code).toBe(1);
});

test("simulate says where it listens, answers, and ends with 0", async () => {
  const port = await freePort();
  const started = start(["simulate", "--port", String(port), "--ttft", "1ms", "--rate", "0"]);
  await started.says(`simulator listening on http://127.0.0.1:${port}/v1`);
  const body = JSON.stringify({ model: "x", messages: [{ role: "user", content: "x" }] });
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  expect(await response.json()).toMatchObject({ object: "chat.completion" });
  const taken = await run(["simulate", "--port", String(port)]);
  expect(taken.code).toBe(1);
  expect(taken.err.trimEnd().split("\n").length).toBe(1);
  started.child.kill("SIGTERM");
  expect((await started.exited).code).toBe(0);
});

const KEY_TEXT = /^sk-mr-\w{49}$/;

test("keys are made, listed and revoked in a data directory, in words and in JSON", async () => {
  const cwd = newDir();
  const made = JSON.parse((await run(["key", "create", "--name", "one", "--json"], { cwd })).out) as {
    id: string;
    account_id: string;
    key: string;
  };
  expect(made).toMatchObject({
    id: expect.stringMatching(/^key_/) as string,
    account_id: "default",
    key: expect.stringMatching(KEY_TEXT) as string,
  });
  expect((await run(["key", "create", "--name", "two"], { cwd })).out.trim()).toMatch(KEY_TEXT);
  const listed = JSON.parse((await run(["key", "list", "--json"], { cwd })).out) as { data: { name: string }[]; next: null };
  expect(listed).toMatchObject({ data: [{ name: "one" }, { name: "two" }], next: null });
  const table = (await run(["key", "list"], { cwd })).out;
  expect(table.split("\n")[0]).toMatch(/^ID +ACCOUNT_ID +NAME +HINT +CREATED_AT +EXPIRES_AT +REVOKED_AT$/);
  expect(table + JSON.stringify(listed)).not.toContain(made.key);
  expect(await run(["key", "revoke", made.id], { cwd })).toEqual({ code: 0, out: `revoked ${made.id}\n`, err: "" });
  expect((JSON.parse((await run(["key", "revoke", made.id, "--json"], { cwd })).out) as { revoked_at: string }).revoked_at).toMatch(/^20/);
  const unknown = await run(["key", "revoke", "key_unknown"], { cwd });
  expect(unknown).toEqual({ code: 1, out: "", err: "millrace: There is no key key_unknown: the list of keys shows those that exist.\n" });
  expect(await run(["key", "create", "--account", "other"], { cwd })).toEqual({
    code: 1,
    out: "",
    err: "millrace: There is no account other.\n",
  });
  for (const name of ["", "n".repeat(101)]) expect((await run(["key", "create", "--name", name], { cwd })).code).toBe(1);
});

let relay: Started;
let cwd: string;
beforeAll(async () => {
  cwd = newDir();
  mkdirSync(join(cwd, "data"));
  relay = start(["serve", "--port", String(await freePort())], { cwd, env: { MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN } });
  await relay.says("listening on");
});
afterAll(async () => {
  relay.child.kill("SIGTERM");
  expect((await relay.exited).code).toBe(0);
});

test("a data directory that a relay holds is refused, with what to do", async () => {
  const ran = await run(["key", "list"], { cwd });
  expect(ran).toMatchObject({ code: 1, out: "" });
  expect(ran.err).toMatch(/^millrace: another process uses .*\n$/);
});

test("the same commands work against a running relay, and take effect there within a second", async () => {
  const env = { MILLRACE_URL: urlOf(relay), MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN };
  const made = JSON.parse((await run(["key", "create", "--name", "remote", "--json"], { env })).out) as { id: string; key: string };
  const ask = async (): Promise<number> =>
    (await fetch(`${urlOf(relay)}/v1/models`, { headers: { authorization: `Bearer ${made.key}` } })).status;
  expect(await ask()).toBe(200);
  expect((await run(["key", "list"], { env })).out).toContain(made.id);
  expect(await run(["key", "revoke", made.id], { env })).toMatchObject({ code: 0, out: `revoked ${made.id}\n` });
  expect(await ask()).toBe(401);
  expect((await run(["key", "revoke", "key_unknown"], { env })).code).toBe(1);
  expect((await run(["key", "revoke", "../../v1/models"], { env })).code).toBe(1);
  expect(await run(["key", "create", "--account", "other"], { env })).toMatchObject({ code: 1, out: "" });
});

test.each<[string, Record<string, string>, RegExp]>([
  ["a wrong token", { MILLRACE_ADMIN_TOKEN: "mra_wrong-0123456789abcdefghijklmnopqrstuv" }, /owner's token/],
  ["no token", {}, /owner's token/],
  ["a token with a line end inside", { MILLRACE_ADMIN_TOKEN: "mra_secret\nx" }, /MILLRACE_ADMIN_TOKEN/],
  [
    "an address where nothing listens",
    { MILLRACE_URL: "http://127.0.0.1:1", MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN },
    /no answer from http:\/\/127\.0\.0\.1:1 /,
  ],
  ["an address without a scheme", { MILLRACE_URL: "127.0.0.1:8787", MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN }, /MILLRACE_URL/],
  ["an address of another scheme", { MILLRACE_URL: "localhost:8787", MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN }, /MILLRACE_URL/],
])("against a relay, %s ends with one line that says what to do, and 1", async (_name, more, message) => {
  for (const words of [
    ["key", "list"],
    ["key", "create"],
    ["key", "revoke", "key_x"],
  ]) {
    const ran = await run(words, { env: { MILLRACE_URL: urlOf(relay), ...more } });
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.err).toMatch(message);
    expect(ran.err.trimEnd().split("\n").length).toBe(1);
    expect(ran.err).not.toContain("mra_secret");
  }
});

test("an address that is some other server ends with one line, and 1", async () => {
  const port = await freePort();
  const other = start(["simulate", "--port", String(port)]);
  await other.says("listening");
  for (const words of [
    ["key", "list"],
    ["key", "create"],
  ]) {
    const ran = await run(words, { env: { MILLRACE_URL: `http://127.0.0.1:${port}`, MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN } });
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.err).toMatch(/^millrace: .*MILLRACE_URL.*\n$/);
  }
  other.child.kill("SIGTERM");
  await other.exited;
});
