import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isMemberToken } from "../../src/control/access/member.ts";
import { newAddress } from "../support/call.ts";
import { startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.close());

test("a member is made, shown, listed, changed and revoked", async () => {
  const { token, ...made } = await plane.made("POST", "members", { name: " anna ", role: "operator" });
  expect(made).toMatchObject({
    id: expect.stringMatching(/^mem_/) as string,
    name: "anna",
    role: "operator",
    account_id: null,
    revoked_at: null,
  });
  expect(isMemberToken(String(token))).toBe(true);
  const place = `members/${String(made["id"])}`;
  expect(await plane.made("GET", place)).toEqual(made);
  expect(await plane.all("members")).toContainEqual(made);
  expect(await plane.made("PATCH", place, { name: "bea", role: "viewer" })).toEqual({ ...made, name: "bea", role: "viewer" });
  const revoked = await plane.made("DELETE", place);
  expect(revoked["revoked_at"]).not.toBeNull();
  expect(await plane.made("DELETE", place)).toEqual(revoked);
  expect((await plane.ask("PATCH", place, { body: { name: "eve" } })).status).toBe(400);
  expect((await plane.ask("GET", "members/mem_none")).status).toBe(404);
});

test("a token is seen once: not in a list, a log, or any file of the relay", async () => {
  const { token, hint } = await plane.made("POST", "members", { name: "once", role: "viewer" });
  const text = String(token);
  expect((await plane.ask("GET", "accounts", { token: text })).status).toBe(200);
  const cookie = (await plane.cookie(text)).split("=")[1] ?? "";
  const lists = JSON.stringify([await plane.all("members"), await plane.all("audit")]);
  const { dataDir, logLines } = plane.relay;
  const files = readdirSync(dataDir).map((name) => readFileSync(join(dataDir, name), "latin1"));
  for (const place of [lists, logLines.join(""), ...files]) {
    for (const secret of [text, text.slice(8, -4), cookie]) expect(place.includes(secret)).toBe(false);
  }
  expect(lists).toContain(String(hint));
  expect(files.join("")).toContain(String(hint));
});

test("a member belongs to one account, and the other roles to none", async () => {
  const { id: account } = await plane.made("POST", "accounts", { name: "shop" });
  const wrong: Json[] = [
    { name: "x", role: "member" },
    { name: "x", role: "member", account_id: "acc_none" },
    { name: "x", role: "viewer", account_id: account },
    { name: "x", role: "admin" },
    { name: "", role: "viewer" },
    { role: "viewer" },
    { name: "x", role: "viewer", token: "mra_mine" },
  ];
  for (const wish of wrong) expect([wish, (await plane.ask("POST", "members", { body: wish })).status]).toEqual([wish, 400]);
  const { id } = await plane.made("POST", "members", { name: "x", role: "viewer" });
  const place = `members/${String(id)}`;
  expect((await plane.ask("PATCH", place, { body: { role: "member" } })).status).toBe(400);
  expect(await plane.made("PATCH", place, { role: "member", account_id: account })).toMatchObject({ role: "member", account_id: account });
  expect(await plane.made("PATCH", place, { role: "owner" })).toMatchObject({ role: "owner", account_id: null });
});

test("a mistyped token is refused without a look-up, as is what never was one", async () => {
  const { token } = await plane.made("POST", "members", { name: "typo", role: "viewer" });
  const text = String(token);
  const mistyped = text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
  expect([isMemberToken(text), isMemberToken(mistyped), isMemberToken("mra_"), isMemberToken(`sk-${text}`)]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  for (const wrong of [mistyped, `${text}x`, text.slice(0, -1), "mra_' OR '1'='1", text.toUpperCase()])
    expect((await plane.ask("GET", "accounts", { token: wrong.replaceAll(" ", "+"), from: newAddress() })).status).toBe(401);
});

test("a change that the database refuses is told in the log, and changes nothing", async () => {
  const answers = await Promise.all(Array.from({ length: 4 }, () => plane.ask("POST", "accounts", { body: { name: "same" } })));
  expect(answers.filter((answer) => answer.status === 201).length).toBe(1);
  if (answers.some((answer) => answer.status === 503))
    expect(plane.relay.logLines.join("")).toMatch(/account\.create of acc_\w+ was not stored/);
});
