import { afterAll, beforeAll, expect, test } from "vitest";
import { FailedAttempts } from "../../src/control/access/failed-attempts.ts";
import { crossSiteFault } from "../../src/control/access/origin.ts";
import { Sessions } from "../../src/control/access/sessions.ts";
import { errorOf, newAddress } from "../support/call.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";
import { dataOf, jsonOf, OWN_PAGE, startControlPlane } from "./control-plane.ts";
import type { ControlPlane } from "./control-plane.ts";

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.close());

test("signing in gives a cookie that scripts cannot read and other sites do not send", async () => {
  const answer = await plane.ask("POST", "session", { token: "", body: { token: ADMIN_TOKEN } });
  expect([answer.status, jsonOf(answer)]).toMatchObject([201, { actor: "owner", role: "owner", account_id: null }]);
  expect(answer.headers["set-cookie"]).toEqual([
    expect.stringMatching(/^millrace_session=[\w-]{43}; Path=\/admin; HttpOnly; SameSite=Strict; Max-Age=28800$/) as string,
  ]);
  expect(answer.body).not.toContain(ADMIN_TOKEN);
  expect(answer.headers["cache-control"]).toBe("no-store");
});

test("a session says who it is, ends when it is told to, and is never fixed from outside", async () => {
  const cookie = await plane.cookie(ADMIN_TOKEN);
  const settings = { token: "", headers: { ...OWN_PAGE, cookie } };
  const shown = jsonOf(await plane.ask("GET", "session", settings));
  expect(shown).toMatchObject({ actor: "owner", role: "owner" });
  expect(Date.parse(String(shown["expires_at"])) - Date.now()).toBeGreaterThan(7 * 3_600_000);
  expect(await plane.cookie(ADMIN_TOKEN)).not.toBe(cookie);
  const out = await plane.ask("DELETE", "session", settings);
  expect([out.status, out.headers["set-cookie"]?.[0]]).toMatchObject([200, expect.stringContaining("Max-Age=0")]);
  expect((await plane.ask("GET", "session", settings)).status).toBe(401);
  const chosen = { token: "", headers: { ...OWN_PAGE, cookie: `millrace_session=${"x".repeat(43)}` } };
  expect((await plane.ask("GET", "accounts", chosen)).status).toBe(401);
});

test("a session that ended is no guess: its page is not shut out", async () => {
  const from = newAddress();
  const headers = { ...OWN_PAGE, cookie: `millrace_session=${"x".repeat(43)}` };
  for (let i = 0; i < 30; i++) expect((await plane.ask("GET", "session", { token: "", from, headers })).status).toBe(401);
  expect((await plane.ask("POST", "session", { token: "", from, body: { token: ADMIN_TOKEN } })).status).toBe(201);
});

test("a token counts before a cookie, and a wrong token is not mended by a good cookie", async () => {
  const cookie = await plane.cookie(ADMIN_TOKEN);
  const answer = await plane.ask("GET", "accounts", { token: "mra_wrong", from: newAddress(), headers: { ...OWN_PAGE, cookie } });
  expect(answer.status).toBe(401);
});

test("a member who is revoked, or gets another role, has it at once in every session", async () => {
  const { id, token } = await plane.made("POST", "members", { name: "op", role: "operator" });
  const cookie = await plane.cookie(String(token));
  const ask = async (): Promise<number> =>
    (await plane.ask("POST", "accounts", { token: "", headers: { ...OWN_PAGE, cookie }, body: {} })).status;
  expect(await ask()).toBe(400);
  await plane.made("PATCH", `members/${String(id)}`, { role: "viewer" });
  expect(await ask()).toBe(403);
  await plane.made("DELETE", `members/${String(id)}`);
  expect(await ask()).toBe(401);
  expect((await plane.ask("GET", "accounts", { token: String(token), from: newAddress() })).status).toBe(401);
});

test.each<[string, Record<string, string>, boolean]>([
  ["a page of our own", OWN_PAGE, true],
  ["our own origin, of a browser that says no more", { origin: "http://HOST", "content-type": "application/json" }, true],
  ["another site", { ...OWN_PAGE, "sec-fetch-site": "cross-site" }, false],
  ["a neighbour of the same site", { ...OWN_PAGE, "sec-fetch-site": "same-site" }, false],
  ["another origin", { origin: "https://evil.test", "content-type": "application/json" }, false],
  ["another port", { origin: "http://127.0.0.1:1", "content-type": "application/json" }, false],
  ["no origin", { origin: "null", "content-type": "application/json" }, false],
  ["nobody who says where from", { "content-type": "application/json" }, false],
  ["a form", { "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded" }, false],
  ["plain text", { "sec-fetch-site": "same-origin", "content-type": "text/plain" }, false],
])("a change by cookie from %s", async (_name, given, isTaken) => {
  const cookie = await plane.cookie(ADMIN_TOKEN);
  const headers = Object.fromEntries(
    Object.entries({ ...given, cookie }).map(([name, value]) => [name, value.replace("HOST", `127.0.0.1:${plane.relay.port}`)]),
  );
  const before = dataOf(await plane.made("GET", "keys")).length;
  const answer = await plane.ask("POST", "keys", { token: "", headers, body: {} });
  expect(answer.status).toBe(isTaken ? 201 : 403);
  if (!isTaken) expect(errorOf(answer).code).toBe("cross_site");
  expect(dataOf(await plane.made("GET", "keys")).length).toBe(before + (isTaken ? 1 : 0));
});

test("a page of another site cannot sign anybody in", async () => {
  for (const headers of [{ origin: "https://evil.test" }, { "sec-fetch-site": "cross-site" }]) {
    const answer = await plane.ask("POST", "session", { token: "", headers, body: { token: ADMIN_TOKEN } });
    expect([answer.status, answer.headers["set-cookie"]]).toEqual([403, undefined]);
  }
  const form = await plane.ask("POST", "session", {
    token: "",
    headers: { "content-type": "text/plain" },
    body: JSON.stringify({ token: ADMIN_TOKEN }),
  });
  expect(form.status).toBe(415);
});

test("reading by a session is for the relay's own page, too", () => {
  expect(crossSiteFault("GET", { "sec-fetch-site": "none" })).toBeNull();
  expect(crossSiteFault("GET", {})).toBeNull();
  for (const site of ["cross-site", "same-site"]) expect(crossSiteFault("GET", { "sec-fetch-site": site })).not.toBeNull();
});

test("who guesses has to wait, whatever comes next, and others need not", async () => {
  const from = newAddress();
  for (let i = 0; i < 10; i++) {
    expect((await plane.ask("GET", "accounts", { token: "mra_guess", from })).status).toBe(401);
    expect((await plane.ask("POST", "session", { token: "", from, body: { token: "mra_guess" } })).status).toBe(401);
  }
  const late = await plane.ask("GET", "accounts", { from });
  expect([late.status, errorOf(late).code]).toEqual([429, "rate_limited"]);
  expect(Number(late.headers["retry-after"])).toBeGreaterThan(50);
  const signIn = await plane.ask("POST", "session", { token: "", from, body: { token: ADMIN_TOKEN } });
  expect([signIn.status, Number(signIn.headers["retry-after"]) > 50]).toEqual([429, true]);
  expect((await plane.ask("GET", "accounts", { from: newAddress() })).status).toBe(200);
});

test("behind a proxy of our own each client waits for itself; what a stranger says of its address is not believed", async () => {
  const other = await startControlPlane({ trustedProxies: ["127.0.0.1"] });
  const ask = async (token: string, client: string, from = "127.0.0.1"): Promise<number> =>
    (await other.ask("GET", "accounts", { token, from, headers: { "x-forwarded-for": client } })).status;
  for (let i = 0; i < 20; i++) expect(await ask("mra_guess", "192.0.2.1")).toBe(401);
  expect(await ask(ADMIN_TOKEN, "192.0.2.1")).toBe(429);
  expect(await ask(ADMIN_TOKEN, "192.0.2.2")).toBe(200);
  const stranger = newAddress();
  for (let i = 0; i < 20; i++) expect(await ask("mra_guess", `192.0.2.${i}`, stranger)).toBe(401);
  expect(await ask("mra_guess", "192.0.2.99", stranger)).toBe(429);
  await other.close();
});

test("failed attempts are forgotten after a minute, kept for a bounded number of addresses, and counted by /64", () => {
  const attempts = new FailedAttempts();
  for (let i = 0; i < 20; i++) attempts.note(`2001:db8:0:1::${i}`, 0);
  expect(attempts.waitOf("2001:db8:0:1:ffff::1", 1)).toBe(60);
  expect(attempts.waitOf("2001:db8:0:2::1", 1)).toBeNull();
  expect(attempts.waitOf("2001:db8:0:1::1", 60_000)).toBeNull();
  for (let i = 0; i < 20; i++) attempts.note("::ffff:10.0.0.1", 0);
  expect(attempts.waitOf("10.0.0.1", 0)).toBe(60);
  for (let i = 0; i < 20_000; i++) attempts.note(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 70_000);
  expect(attempts.size).toBe(10_000);
});

test("sessions are bounded in time and number, for each and for all", () => {
  const sessions = new Sessions();
  const { secret, endsAtMs } = sessions.open("owner", 0);
  expect(sessions.find(secret, endsAtMs - 1)?.actor).toBe("owner");
  expect(sessions.find(secret, endsAtMs)).toBeNull();
  for (let i = 0; i < 25; i++) sessions.open("owner", 0);
  expect([sessions.size, sessions.find(secret, 0)]).toEqual([20, null]);
  for (let i = 0; i < 2_000; i++) sessions.open(`mem_${i}`, 0);
  expect(sessions.size).toBe(1_000);
  sessions.open("owner", endsAtMs);
  expect(sessions.size).toBe(1);
});
