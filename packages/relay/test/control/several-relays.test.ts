/** Two relays on one PostgreSQL: one control plane, whichever of them is asked. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { entryShown } from "../../src/control/resources/audit.ts";
import { verifyChain } from "../../src/control/audit-entry.ts";
import { call, MESSAGES, newAddress } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { PRICES } from "./configured.ts";
import { startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

const open = DATABASES["PostgreSQL"];

describe.skipIf(open === undefined)("on PostgreSQL", () => {
  let one: ControlPlane;
  let other: ControlPlane;
  beforeAll(async () => {
    const database = await open?.();
    if (database === undefined) throw new Error("PostgreSQL is not there");
    one = await startControlPlane({ database, prices: PRICES });
    other = await startControlPlane({ database, prices: PRICES });
  }, 60_000);
  afterAll(async () => {
    await one.close();
    await other.close();
  });

  test("a member made by one is known to the other at once, and unknown at once when it is revoked", async () => {
    const { id, token } = await one.made("POST", "members", { name: "eve", role: "viewer" });
    const status = async (): Promise<number> => (await other.ask("GET", "accounts", { token: String(token), from: newAddress() })).status;
    expect(await status()).toBe(200);
    await one.made("DELETE", `members/${String(id)}`);
    expect(await status()).toBe(401);
  });

  test("what one makes the other has at once, and changes without undoing what came before", async () => {
    const { id } = await one.made("POST", "accounts", { name: "fresh" });
    const key = await other.made("POST", "keys", { account_id: id });
    await one.made("PATCH", `keys/${String(key["id"])}`, { models: ["m"] });
    expect(await other.made("PATCH", `keys/${String(key["id"])}`, { name: "renamed" })).toMatchObject({ models: ["m"] });
    await one.made("DELETE", `keys/${String(key["id"])}`);
    expect((await other.ask("PATCH", `keys/${String(key["id"])}`, { body: { name: "again" } })).status).toBe(400);
  });

  test("of changes that both make at the same time neither undoes the other, and the audit tells them one after the other", async () => {
    const { id: accountId } = await one.made("POST", "accounts", { name: "contended", metered: true });
    const { id: keyId } = await one.made("POST", "keys", { account_id: accountId });
    const { id: memberId } = await one.made("POST", "members", { name: "contended", role: "owner" });
    const [account, key, member] = [`accounts/${String(accountId)}`, `keys/${String(keyId)}`, `members/${String(memberId)}`];
    const expires_at = "2020-01-01T00:00:00.000Z";
    for (let round = 0; round < 10; round++) {
      const name = `round ${round}`;
      const both = [
        [account, { status: "active" }, { status: "suspended" }, round % 2 === 0 ? { name } : { name, floor: "-0.50" }],
        [key, { expires_at: null }, { expires_at }, round % 2 === 0 ? { name } : { name, budgets: [{ period: "day", cap: "1.00" }] }],
        [member, { role: "owner" }, { role: "viewer" }, { name }],
      ] as const;
      for (const [path, first, here, there] of both) {
        await one.made("PATCH", path, first);
        await Promise.all([one.made("PATCH", path, here), other.made("PATCH", path, there)]);
        const { floor: _, budgets: __, ...seen } = { floor: null, budgets: null, ...here, ...there };
        for (const plane of [one, other]) expect(await plane.made("GET", path)).toMatchObject(seen);
      }
    }
    const entries = (await one.all("audit")).toReversed();
    for (const target of [accountId, keyId, memberId]) {
      let last: unknown = null;
      for (const { before, after } of entries.filter((entry) => entry["target"] === target)) {
        expect(before).toEqual(last);
        const { floor: _, ...rest } = after as Json;
        last = rest;
      }
    }
  });

  test("a revocation and an end of a key hold against whatever the other relay changes at the same time", async () => {
    for (let round = 0; round < 10; round++) {
      const { id, key: text } = await one.made("POST", "keys", {});
      const [renamed] = await Promise.all([
        other.ask("PATCH", `keys/${String(id)}`, { body: { name: "again" } }),
        one.made("DELETE", `keys/${String(id)}`),
      ]);
      expect([200, 400]).toContain(renamed.status);
      for (const { relay } of [one, other])
        await vi.waitFor(() => expect(relay.app.keys.verify(String(text), Date.now())).toMatchObject({ code: "key_revoked" }), 1_000);
      const rotated = await one.made("POST", "keys", { models: ["m"] });
      const [{ key: fresh }] = await Promise.all([
        one.made("POST", `keys/${String(rotated["id"])}/rotate`, { overlap_seconds: 0 }),
        other.made("PATCH", `keys/${String(rotated["id"])}`, { models: ["m", "n"] }),
      ]);
      for (const { relay } of [one, other]) {
        await vi.waitFor(() => expect(relay.app.keys.verify(String(fresh), Date.now())).toMatchObject({ ok: true }), 1_000);
        expect(relay.app.keys.verify(String(rotated["key"]), Date.now())).toMatchObject({ code: "key_expired" });
      }
    }
  });

  test("changes of both at the same time stand in one whole chain", async () => {
    const makeSome = async (plane: ControlPlane, name: string): Promise<void> => {
      await Promise.all(
        Array.from({ length: 15 }, async (_, i) => {
          const { id } = await plane.made("POST", "accounts", { name: `${name}${i}`, metered: i % 2 === 0 });
          await plane.made("POST", "keys", { account_id: id, budgets: [{ period: "day", cap: "1.00" }] });
          if (i % 2 === 0)
            await plane.made("POST", `accounts/${String(id)}/credits`, { amount: "1.00", reason: "x", reference: `${name}${i}` });
        }),
      );
    };
    await Promise.all([makeSome(one, "a"), makeSome(other, "b")]);
    const entries = await one.all("audit", 11);
    expect(
      entries.filter((entry) => /"name":"[ab]\d/.test(JSON.stringify(entry["after"])) && entry["action"] === "account.create").length,
    ).toBe(30);
    expect(entries.filter((entry) => entry["action"] === "credit.grant").length).toBe(16);
    expect(verifyChain(entries.map(entryShown))).toMatchObject({ entries: entries.length, broken: null });
    await expect(one.relay.books.store.query("audit", {})).resolves.toEqual([]);
  });

  test("a name that both give at the same time is given once, and noted once", async () => {
    const answers = await Promise.all([one, other].map((plane) => plane.ask("POST", "accounts", { body: { name: "twice" } })));
    expect(answers.filter((answer) => answer.status === 201).length).toBe(1);
    const made = (await one.all("audit")).filter((entry) => JSON.stringify(entry["after"]).includes('"twice"'));
    expect(made.length).toBe(1);
  });

  test("lists are cut into pages without gap or repeat", async () => {
    const { id } = await one.made("POST", "accounts", { name: "reader", metered: true });
    const account = String(id);
    for (const reference of ["r1", "r2", "r3"])
      await one.made("POST", `accounts/${account}/credits`, { amount: "1.00", reason: "x", reference });
    const { key } = await one.made("POST", "keys", { account_id: account });
    for (let i = 0; i < 3; i++)
      await call({ port: one.relay.port, key: String(key) }, { body: { model: "m", max_tokens: 5, messages: MESSAGES } });
    for (const path of [
      "members",
      "audit",
      `accounts/${account}/ledger`,
      `accounts/${account}/credits`,
      "requests",
      "usage?every=hour&by=key",
    ]) {
      const whole = await other.all(path);
      expect([path, whole.length > 0]).toEqual([path, true]);
      expect(await other.all(path, 1)).toEqual(whole);
    }
    const [request] = await other.all(`requests?account_id=${account}&model=m&status=200&from=2020-01-01T00:00:00Z`);
    const shown = await other.made("GET", `requests/${String(request?.["id"])}`);
    expect(shown).toMatchObject({ attempts: [{ upstream: "a" }], receipt: { state: "settled", charged_nanos: request?.["charge_nanos"] } });
    const statement = await other.made("GET", `accounts/${account}/statement`);
    const balance = await other.made("GET", `accounts/${account}/balance`);
    expect(statement["closing_nanos"]).toBe(balance["balance_nanos"]);
    expect(await other.all(`usage?account_id=${account}&by=upstream`)).toMatchObject([{ group: "a", requests: 3 }]);
  });

  test("entries of the audit are never changed or taken out", async () => {
    for (const text of ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
      await expect(one.relay.query(text)).rejects.toThrow("audit_log never change");
  });
});
