import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { run, start, urlOf } from "./command.ts";
import type { Started } from "./command.ts";

const ENV = { MILLRACE_KEY: "sk-0123456789abcdefghijklmnopqrstuvwxyz" };

let cwd: string;
let relay: Started;

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "millrace-backup-cli-"));
  relay = start(["serve", "--port", String(await freePort())], { cwd, env: ENV });
  await relay.says("listening on");
});
afterAll(async () => {
  relay.child.kill("SIGTERM");
  expect((await relay.exited).code).toBe(0);
  rmSync(cwd, { recursive: true });
});

async function askThe(started: Started): Promise<number> {
  const headers = { authorization: `Bearer ${ENV.MILLRACE_KEY}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "demo", messages: [{ role: "user", content: "Hello" }] });
  const response = await fetch(`${urlOf(started)}/v1/chat/completions`, { method: "POST", headers, body });
  await response.text();
  return response.status;
}

test("a running relay is backed up and restored elsewhere, where the same key works", { timeout: 60_000 }, async () => {
  expect(await askThe(relay)).toBe(200);
  const made = await run(["backup", "one.gz", "--json"], { cwd });
  expect(made).toMatchObject({ code: 0, err: "" });
  expect(JSON.parse(made.out)).toMatchObject({
    file: "one.gz",
    dialect: "sqlite",
    spooled: 0,
    open_holds: 0,
    tables: { requests: 1, keys: 1 },
  });
  expect((await run(["backup", "two.gz"], { cwd })).out).toMatch(/^\d+ rows of \d+ tables are in two\.gz \(0\.0 MB\)\n$/);

  const refused = await run(["restore", "one.gz"], { cwd });
  expect(refused).toMatchObject({ code: 1, out: "" });
  expect(refused.err).toMatch(/^millrace: another process uses .*\n$/);

  const restored = await run(["restore", "one.gz", "--data", "elsewhere"], { cwd });
  expect(restored).toMatchObject({ code: 0, err: "" });
  expect(restored.out).toMatch(
    /^\d+ rows of \d+ tables, as of 20\S+Z, are in .*elsewhere\/millrace\.db\nthe books agree\nthe audit has 0 entries, the chain is whole, its head is 0{64}\n$/,
  );
  const json = await run(["restore", "one.gz", "--data", "third", "--json"], { cwd });
  expect(JSON.parse(json.out)).toMatchObject({
    from: { dialect: "sqlite" },
    to: { dialect: "sqlite" },
    is_kept: true,
    breaches: [],
    audit: { ok: true, entries: 0, broken: null },
  });

  const other = start(["serve", "--port", String(await freePort()), "--data", "elsewhere"], { cwd, env: ENV });
  await other.says("listening on");
  expect(await askThe(other)).toBe(200);
  other.child.kill("SIGTERM");
  expect((await other.exited).code).toBe(0);
  const again = await run(["restore", "one.gz", "--data", "elsewhere"], { cwd });
  expect(again).toMatchObject({ code: 1, out: "" });
  expect(again.err).toMatch(
    /^millrace: \S+millrace\.db exists: restore into an empty directory, say which with --data, or move it away\n$/,
  );
});

test("a backup whose audit was altered is not restored, and it says what to do", { timeout: 60_000 }, async () => {
  expect((await run(["account", "create", "shop", "--data", "altered"], { cwd })).code).toBe(0);
  const database = new DatabaseSync(join(cwd, "altered", "millrace.db"));
  database.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET actor = 'nobody'");
  database.close();
  expect((await run(["backup", "altered.gz", "--data", "altered"], { cwd })).code).toBe(0);
  expect(await run(["restore", "altered.gz", "--data", "fresh"], { cwd })).toMatchObject({
    code: 1,
    out: "entry 1 of the audit is broken: its content is not what its hash says\n",
    err: "millrace: altered.gz: the audit was altered, so the restore kept nothing: restore an older backup, and check whether the database that this one came from is sound\n",
  });
  const json = await run(["restore", "altered.gz", "--data", "fresh", "--json"], { cwd });
  expect(JSON.parse(json.out)).toMatchObject({ is_kept: false, breaches: [], audit: { ok: false, broken: { seq: 1 } } });
  expect(existsSync(join(cwd, "fresh", "millrace.db"))).toBe(false);
});

test("what cannot be done ends with one line that says what to do, and 1", async () => {
  writeFileSync(join(cwd, "text.gz"), "hello");
  writeFileSync(join(cwd, "bad.yaml"), "upstreams: nonsense\n");
  mkdirSync(join(cwd, "empty"));
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["backup", "text.gz"], /text\.gz exists: choose another name, or replace it with --force/],
    [["backup", "x.gz", "--data", "empty"], /there is no database at .*empty\/millrace\.db: say with --data or --config where it is/],
    [["backup", "missing/x.gz"], /missing/],
    [["backup", "x.gz", "--config", "bad.yaml"], /the configuration has mistakes/],
    [["restore", "text.gz", "--data", "new"], /text\.gz is no backup of Millrace/],
    [["restore", "missing.gz", "--data", "new"], /missing\.gz does not exist/],
  ];
  for (const [words, message] of cases) {
    const ran = await run(words, { cwd });
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.err).toMatch(message);
    expect(ran.err).not.toContain("    at ");
  }
  const env = { MILLRACE_DATABASE_URL: "postgres://user:secret@127.0.0.1:1/millrace" };
  for (const words of [
    ["backup", "x.gz"],
    ["restore", "text.gz"],
  ]) {
    const ran = await run(words, { cwd, env });
    expect(ran).toMatchObject({ code: 1, out: "" });
    expect(ran.err).not.toContain("secret");
  }
  expect(readFileSync(join(cwd, "text.gz"), "utf8")).toBe("hello");
});
