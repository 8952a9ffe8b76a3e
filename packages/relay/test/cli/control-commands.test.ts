/** Members, money, the audit and usage by command: on a data directory, and through a running relay. */
import { DatabaseSync } from "node:sqlite";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { ADMIN_TOKEN, newDir, run, start, urlOf } from "./command.ts";
import type { Ran, Started } from "./command.ts";

type Json = Record<string, unknown>;

/** Each command is a process; there are thirty of them, and the machine may be busy. */
const MINUTES = 180_000;

/** Runs a command and reads what it prints as JSON. */
type AskJson = (...words: string[]) => Promise<Json>;

function jsonOf(ran: Ran): Json {
  expect([ran.code, ran.err]).toEqual([0, ""]);
  return JSON.parse(ran.out) as Json;
}

const dataOf = (page: Json): Json[] => page["data"] as Json[];

/** What both ways must do alike. */
async function doAll(ask: AskJson, say: (...words: string[]) => Promise<Ran>): Promise<void> {
  const account = String((await ask("account", "create", "shop", "--metered"))["id"]);
  await ask("credit", "grant", account, "5.00", "--reason", "hello", "--reference", "g1", "--expires", "2099-01-01T00:00:00Z");
  const lots = await ask("credit", "list", account);
  expect(dataOf(lots)).toMatchObject([{ reference: "g1", remaining: "5.00", expires_at: "2099-01-01T00:00:00.000Z" }]);
  expect((await say("credit", "list", account)).out.split("\n")[0]).toMatch(/^CREATED_AT +KIND +AMOUNT +REMAINING +EXPIRES_AT +REFERENCE$/);
  expect(dataOf(await ask("credit", "write-offs", "--account", account, "--from", "2026-01-01T00:00:00Z"))).toEqual([]);
  expect((await say("credit", "write-offs")).out).toMatch(/^AT +REQUEST_ID +ACCOUNT_ID +MODEL +CHARGED +WRITTEN_OFF\n$/);

  const limits = ["--rpm", "60", "--in-flight", "4", "--models", "a, b", "--scope", "chat", "--address", "10.0.0.0/8,::1"];
  const budgets = ["--budget", "day=5.00", "--budget", "total=20", "--expires", "2099-01-01T00:00:00Z"];
  expect(await ask("key", "create", "--account", account, "--name", "app", ...limits, ...budgets)).toMatchObject({
    account_id: account,
    limits: { rpm: 60, tpm: null, in_flight: 4 },
    models: ["a", "b"],
    scopes: ["chat"],
    addresses: ["10.0.0.0/8", "::1"],
    budgets: [
      { period: "day", cap: "5.00" },
      { period: "total", cap: "20.00" },
    ],
    expires_at: "2099-01-01T00:00:00.000Z",
  });

  const member = await ask("member", "create", "eve", "--role", "member", "--account", account);
  expect(member).toMatchObject({ role: "member", account_id: account, token: expect.stringMatching(/^mra_\w{49}$/) as string });
  const table = (await say("member", "list")).out;
  expect(table).toContain(String(member["id"]));
  expect(table).not.toContain(String(member["token"]));
  expect((await say("member", "create", "nobody", "--role", "god")).code).toBe(1);
  expect((await say("member", "create", "nobody", "--role", "member")).err).toBe(
    "millrace: The role member needs the account_id of an account.\n",
  );
  expect((await say("member", "revoke", String(member["id"]))).out).toBe(`revoked ${String(member["id"])}\n`);
  expect((await say("member", "revoke", "..")).code).toBe(1);

  expect(dataOf(await ask("usage", "--by", "account", "--every", "hour"))).toEqual([]);
  expect((await say("usage", "--by", "shoe size")).code).toBe(1);
  expect(await say("request", "show", "req_none")).toEqual({
    code: 1,
    out: "",
    err: "millrace: There is no request req_none: the list of requests shows those that exist.\n",
  });

  const actions = ["member.revoke", "member.create", "key.create", "credit.grant", "account.create"];
  expect(dataOf(await ask("audit", "list")).map((entry) => entry["action"])).toEqual(actions);
  expect(dataOf(await ask("audit", "list", "--limit", "2")).map((entry) => entry["action"])).toEqual(actions.slice(0, 2));
  expect((await say("audit", "list")).out.split("\n")[0]).toMatch(/^SEQ +AT +ACTOR +ROLE +ACTION +TARGET +ADDRESS$/);
  const head = String(dataOf(await ask("audit", "list", "--limit", "1"))[0]?.["hash"]);
  expect((await say("audit", "verify")).out).toBe(`5 entries, the chain is whole, its head is ${head}\n`);
  expect(await ask("audit", "verify")).toEqual({ ok: true, entries: 5, head, broken: null });
}

/** One account and its key, from their first day to their last. */
async function liveAndEnd(ask: AskJson, say: (...words: string[]) => Promise<Ran>): Promise<void> {
  const id = String((await ask("account", "create", "customer", "--metered"))["id"]);
  expect(await ask("credit", "grant", id, "2.50", "--reason", "hello")).toMatchObject({ account_id: id, balance: "2.50" });
  expect((await say("credit", "grant", id, "1.00", "--reason", "more")).out).toBe("3.50\n");
  expect(await ask("credit", "show", id)).toMatchObject({ balance: "3.50", held: "0.00", available: "3.50", balance_nanos: "3500000000" });
  expect(await ask("account", "show", id)).toMatchObject({ id, name: "customer", metered: true, status: "active" });
  expect(dataOf(await ask("account", "list")).map((account) => account["id"])).toContain(id);
  expect((await say("account", "list")).out.split("\n")[0]).toMatch(/^ID +NAME +METERED +TIER +STATUS +CREATED_AT$/);

  const old = await ask("key", "create", "--account", id, "--models", "a", "--budget", "day=1.00");
  const made = await ask("key", "rotate", String(old["id"]), "--overlap", "60");
  expect(made).toMatchObject({ replaces: old["id"], models: ["a"], budgets: [{ period: "day", cap: "1.00" }], expires_at: null });
  expect(made["key"]).not.toBe(old["key"]);
  const end = dataOf(await ask("key", "list")).find((key) => key["id"] === old["id"])?.["expires_at"];
  expect(Math.abs(Date.parse(String(end)) - Date.now() - 60_000)).toBeLessThan(30_000);
  expect((await say("key", "rotate", String(made["id"]))).out).toMatch(/^sk-mr-\w{49}\n$/);

  expect(await say("account", "close", id)).toEqual({ code: 0, out: `closed ${id}\n`, err: "" });
  expect(await ask("account", "show", id)).toMatchObject({ status: "closed" });
  expect(await say("key", "create", "--account", id)).toEqual({ code: 1, out: "", err: "millrace: A closed account gets no keys.\n" });
  expect(await say("account", "close", "acc_none")).toMatchObject({ code: 1, out: "" });
}

test(
  "an account is made, paid into, shown, given keys and closed, on a data directory",
  async () => {
    const cwd = newDir();
    const say = (...words: string[]): Promise<Ran> => run(words, { cwd });
    await liveAndEnd(async (...words) => jsonOf(await say(...words, "--json")), say);
  },
  MINUTES,
);

test(
  "on a data directory that no relay uses, and what was altered in the audit is named",
  async () => {
    const cwd = newDir();
    const say = (...words: string[]): Promise<Ran> => run(words, { cwd });
    await doAll(async (...words) => jsonOf(await say(...words, "--json")), say);
    expect(dataOf(jsonOf(await say("audit", "list", "--json")))[0]).toMatchObject({ actor: "command", role: "owner", address: null });
    const database = new DatabaseSync(join(cwd, "data", "millrace.db"));
    database.exec("DROP TRIGGER audit_log_no_update; UPDATE audit_log SET actor = 'nobody' WHERE seq = 4");
    database.close();
    const broken = await say("audit", "verify");
    expect(broken).toEqual({ code: 1, out: "entry 4 is broken: its content is not what its hash says\n", err: "" });
  },
  MINUTES,
);

describe("through a running relay", () => {
  let relay: Started;
  let env: Record<string, string>;
  beforeAll(async () => {
    const cwd = newDir();
    mkdirSync(join(cwd, "data"));
    relay = start(["serve", "--port", String(await freePort())], { cwd, env: { MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN } });
    await relay.says("listening on");
    env = { MILLRACE_URL: urlOf(relay), MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN };
  });
  afterAll(async () => {
    relay.child.kill("SIGTERM");
    await relay.exited;
  });

  test(
    "the same commands do the same",
    async () => {
      const say = (...words: string[]): Promise<Ran> => run(words, { env });
      await doAll(async (...words) => jsonOf(await say(...words, "--json")), say);
    },
    MINUTES,
  );

  test(
    "an account is made, paid into, shown, given keys and closed",
    async () => {
      const say = (...words: string[]): Promise<Ran> => run(words, { env });
      await liveAndEnd(async (...words) => jsonOf(await say(...words, "--json")), say);
    },
    MINUTES,
  );

  test("a request is shown with its attempts and its receipt", async () => {
    const { key } = jsonOf(await run(["key", "create", "--json"], { env }));
    const answer = await fetch(`${urlOf(relay)}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${String(key)}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "demo", messages: [{ role: "user", content: "Hello" }] }),
    });
    await answer.text();
    const id = answer.headers.get("x-request-id") ?? "";
    const shown = await run(["request", "show", id], { env });
    expect(shown.out).toMatch(new RegExp(`^id +${id}$`, "m"));
    expect(shown.out).toMatch(/^N +UPSTREAM +UPSTREAM_MODEL +OUTCOME +STATUS +DURATION_MS +DETAIL\n1 +demo +\S+ +ok +200 /m);
    expect(jsonOf(await run(["request", "show", id, "--json"], { env }))).toMatchObject({
      id,
      attempts: [{ outcome: "ok" }],
      receipt: null,
    });
    expect((await run(["usage"], { env })).out).toMatch(/^AT +GROUP +REQUESTS .* COST +WRITTEN_OFF\n\S+ +demo +1 .* 0\.00\n$/);
  });

  test("a member's own token is enough for what its role may do", async () => {
    const { token } = jsonOf(await run(["member", "create", "viewer", "--role", "viewer", "--json"], { env }));
    const asViewer = { env: { ...env, MILLRACE_ADMIN_TOKEN: String(token) } };
    expect((await run(["account", "list"], asViewer)).code).toBe(0);
    expect(await run(["account", "create", "mine"], asViewer)).toEqual({
      code: 1,
      out: "",
      err: "millrace: The role viewer may not do this.\n",
    });
  });
});
