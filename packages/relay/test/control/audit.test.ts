import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { entryShown } from "../../src/control/resources/audit.ts";
import { verifyChain } from "../../src/control/audit-entry.ts";
import { dataOf, startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

let plane: ControlPlane;
afterEach(() => plane.close());

async function entries(): Promise<Json[]> {
  return dataOf(await plane.made("GET", "audit?limit=500"));
}

/** One change of each kind, in order. */
async function changeAll(): Promise<{ account: string; key: string; member: string }> {
  const account = String((await plane.made("POST", "accounts", { name: "shop", metered: true }))["id"]);
  await plane.made("PATCH", `accounts/${account}`, { name: "store" });
  await plane.made("POST", `accounts/${account}/credits`, { amount: "5.00", reason: "hello", reference: "r1" });
  await plane.made("POST", `accounts/${account}/adjustments`, { amount: "-1.00", reason: "oops", reference: "r2" });
  const key = String((await plane.made("POST", "keys", { account_id: account, budgets: [{ period: "day", cap: "1.00" }] }))["id"]);
  await plane.made("PATCH", `keys/${key}`, { name: "other" });
  await plane.made("POST", `keys/${key}/rotate`, {});
  await plane.made("DELETE", `keys/${key}`);
  const member = String((await plane.made("POST", "members", { name: "eve", role: "viewer" }))["id"]);
  await plane.made("PATCH", `members/${member}`, { role: "operator" });
  await plane.made("DELETE", `members/${member}`);
  return { account, key, member };
}

const ACTIONS = [
  "account.create",
  "account.change",
  "credit.grant",
  "credit.adjust",
  "key.create",
  "key.change",
  "key.rotate",
  "key.revoke",
  "member.create",
  "member.change",
  "member.revoke",
];

test("every change has its entry: who, what, before and after, from where, and no secret", async () => {
  plane = await startControlPlane();
  const { account, key } = await changeAll();
  const found = await entries();
  expect(found.map((entry) => entry["action"]).toReversed()).toEqual(ACTIONS);
  expect(found.at(-2)).toMatchObject({
    actor: "owner",
    role: "owner",
    action: "account.change",
    target: account,
    before: { name: "shop" },
    after: { name: "store" },
    address: "127.0.0.1",
  });
  expect(found.find((entry) => entry["action"] === "key.create")).toMatchObject({
    target: key,
    before: null,
    after: { account_id: account, budgets: [{ period: "day", cap: "1.00", cap_nanos: "1000000000" }] },
  });
  expect(JSON.stringify(found)).not.toMatch(/sk-mr-\w{20}|mra_\w{20}|sha256/);
  expect(verifyChain(found.map(entryShown))).toMatchObject({ entries: ACTIONS.length, broken: null });
});

test("what changes nothing leaves no entry", async () => {
  plane = await startControlPlane();
  const { account, key, member } = await changeAll();
  await plane.made("POST", `accounts/${account}/credits`, { amount: "5.00", reason: "hello", reference: "r1" });
  await plane.made("DELETE", `keys/${key}`);
  await plane.made("DELETE", `members/${member}`);
  expect((await plane.ask("POST", "accounts", { body: { name: "store" } })).status).toBe(400);
  expect((await plane.ask("POST", `accounts/${account}/credits`, { body: { amount: "6.00", reason: "x", reference: "r1" } })).status).toBe(
    400,
  );
  expect((await entries()).length).toBe(ACTIONS.length);
});

test("a change that is not stored leaves no entry", async () => {
  plane = await startControlPlane();
  const asked = Array.from({ length: 5 }, () => plane.ask("POST", "accounts", { body: { name: "same", metered: true } }));
  expect((await Promise.all(asked)).filter((answer) => answer.status === 201).length).toBe(1);
  expect((await entries()).length).toBe(1);
});

test("changes that come together follow each other in the chain, page by page", async () => {
  plane = await startControlPlane();
  await Promise.all(Array.from({ length: 40 }, (_, i) => plane.made("POST", "accounts", { name: `a${i}`, metered: i % 2 === 0 })));
  const found = await plane.all("audit", 7);
  expect(found.map((entry) => entry["seq"])).toEqual(Array.from({ length: 40 }, (_, i) => 40 - i));
  expect(verifyChain(found.map(entryShown)).broken).toBeNull();
});

test("entries are never changed or taken out; who gets around that is found", async () => {
  plane = await startControlPlane();
  await changeAll();
  const database = new DatabaseSync(join(plane.relay.dataDir, "millrace.db"), { timeout: 5_000 });
  expect(() => database.exec("UPDATE audit_log SET actor = 'nobody'")).toThrow("audit_log never change");
  expect(() => database.exec("DELETE FROM audit_log")).toThrow("audit_log never change");
  database.exec("DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete");
  database.exec("UPDATE audit_log SET after_json = replace(after_json, '5.00', '4.00') WHERE seq = 3");
  const verdict = async (): Promise<unknown> => verifyChain((await entries()).map(entryShown)).broken;
  expect(await verdict()).toEqual({ seq: 3, reason: "its content is not what its hash says" });
  database.exec("DELETE FROM audit_log WHERE seq = 2");
  expect(await verdict()).toEqual({ seq: 3, reason: "its content is not what its hash says" });
  database.exec("UPDATE audit_log SET after_json = replace(after_json, '4.00', '5.00') WHERE seq = 3");
  expect(await verdict()).toEqual({ seq: 3, reason: "it follows 1: entries are missing" });
  database.close();
});
