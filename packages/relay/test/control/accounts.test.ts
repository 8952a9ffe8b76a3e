import { beforeEach, expect, test } from "vitest";
import { admit } from "../../src/admission/authorize.ts";
import { newKeyRecord } from "../../src/admission/keys.ts";
import { networkFault } from "../../src/basics/network.ts";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { ADMIN_TOKEN, relayForTest } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;
beforeEach(async () => {
  relay = await relayForTest({ upstreams: { a: { simulator: { scenario: { text: "yes" } } } } });
});

type Json = Record<string, unknown>;

async function admin(method: string, path: string, body?: unknown): Promise<{ status: number; json: Json }> {
  const answer = await call(relay, {
    method,
    path: `/admin/api/${path}`,
    body: body ?? null,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  return { status: answer.status, json: JSON.parse(answer.body) as Json };
}

async function newKey(limits: Json): Promise<{ id: string; key: string }> {
  const { status, json } = await admin("POST", "keys", limits);
  expect([status, json]).toEqual([201, expect.anything()]);
  return json as { id: string; key: string };
}

function ask(key: string, body: unknown = { model: "m", messages: MESSAGES }, path = "/v1/chat/completions"): Promise<Answer> {
  return call({ port: relay.port, key }, { body, path });
}

test("an account is made, shown, listed, changed and closed, and names are its own", async () => {
  const made = await admin("POST", "accounts", { name: "shop", metered: true });
  expect(made).toMatchObject({ status: 201, json: { name: "shop", metered: true, tier: null, status: "active" } });
  const id = String(made.json["id"]);
  const { warnings, ...shown } = made.json;
  expect(warnings).toEqual(["Accounts that pay are refused these models, which have no price: m"]);
  expect((await admin("GET", `accounts/${id}`)).json).toEqual(shown);
  expect((await admin("GET", "accounts")).json).toMatchObject({ data: [{ id: "default" }, { id }], next: null });
  expect((await admin("POST", "accounts", { name: "shop" })).status).toBe(400);
  expect((await admin("PATCH", `accounts/${id}`, { name: "default" })).status).toBe(400);
  expect((await admin("PATCH", `accounts/${id}`, { tier: "gold" })).json).toMatchObject({
    error: { message: "There is no tier gold: the configuration has none." },
  });
  expect((await admin("PATCH", `accounts/${id}`, { name: "store" })).json).toMatchObject({ id, name: "store" });
  expect((await admin("PATCH", `accounts/${id}`, { status: "closed" })).json).toMatchObject({ status: "closed" });
  expect((await admin("PATCH", `accounts/${id}`, { status: "active" })).status).toBe(400);
  expect((await admin("POST", "keys", { account_id: id })).status).toBe(400);
  expect((await admin("GET", "accounts/acc_none")).status).toBe(404);
});

test("a suspended account's keys are refused at once, and work again when it is lifted", async () => {
  const { json } = await admin("POST", "accounts", { name: "shop" });
  const { key } = await newKey({ account_id: json["id"] });
  expect((await ask(key)).status).toBe(200);
  await admin("PATCH", `accounts/${String(json["id"])}`, { status: "suspended" });
  const refused = await ask(key);
  expect([refused.status, errorOf(refused).code]).toEqual([403, "account_suspended"]);
  expect(relay.simulators["a"]?.seen.length).toBe(1);
  await admin("PATCH", `accounts/${String(json["id"])}`, { status: "active" });
  expect((await ask(key)).status).toBe(200);
});

test("a key's scopes, models and addresses hold at every endpoint", async () => {
  const chatOnly = await newKey({ scopes: ["chat"] });
  expect((await ask(chatOnly.key)).status).toBe(200);
  expect(errorOf(await ask(chatOnly.key, { model: "m", input: "x" }, "/v1/embeddings")).code).toBe("scope_not_allowed");
  expect(errorOf(await call({ port: relay.port, key: chatOnly.key }, { path: "/v1/models", method: "GET", body: null })).code).toBe(
    "scope_not_allowed",
  );

  const otherModel = await newKey({ models: ["other"] });
  const refused = await ask(otherModel.key);
  expect([refused.status, errorOf(refused)]).toMatchObject([403, { code: "model_not_allowed", param: "model" }]);
  const models = await call({ port: relay.port, key: otherModel.key }, { path: "/v1/models", method: "GET", body: null });
  expect(JSON.parse(models.body)).toEqual({ object: "list", data: [] });
  expect((await call({ port: relay.port, key: otherModel.key }, { path: "/v1/models/m", method: "GET", body: null })).status).toBe(404);

  const elsewhere = await newKey({ addresses: ["192.0.2.0/24"] });
  expect(errorOf(await ask(elsewhere.key)).code).toBe("ip_not_allowed");
  const here = await newKey({ addresses: ["192.0.2.7", "127.0.0.0/8"] });
  expect((await ask(here.key)).status).toBe(200);
});

test("limits of a key may be changed and lifted later, and take effect on its next request", async () => {
  const { id, key } = await newKey({ scopes: ["embeddings"], expires_at: "2099-01-01T00:00:00Z" });
  expect((await ask(key)).status).toBe(403);
  expect((await admin("PATCH", `keys/${id}`, { scopes: null })).json).toMatchObject({
    scopes: null,
    expires_at: "2099-01-01T00:00:00.000Z",
  });
  expect((await ask(key)).status).toBe(200);
  await admin("PATCH", `keys/${id}`, { expires_at: "2020-01-01T00:00:00Z" });
  expect(errorOf(await ask(key)).code).toBe("key_expired");
  await admin("DELETE", `keys/${id}`);
  expect((await admin("PATCH", `keys/${id}`, { scopes: null })).status).toBe(400);
});

test("rotating gives a new key with the same limits, and the old one ends after the overlap", async () => {
  const old = await newKey({ models: ["m"], name: "app" });
  const { status, json } = await admin("POST", `keys/${old.id}/rotate`, { overlap_seconds: 1 });
  expect([status, json]).toMatchObject([201, { name: "app", models: ["m"], replaces: old.id }]);
  const fresh = String(json["key"]);
  expect((await ask(old.key)).status).toBe(200);
  expect((await ask(fresh)).status).toBe(200);
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  expect(errorOf(await ask(old.key)).code).toBe("key_expired");
  expect((await ask(fresh)).status).toBe(200);
  expect((await admin("POST", `keys/${old.id}/rotate`, {})).status).toBe(400);
});

test.each([
  { scopes: ["admin"] },
  { scopes: [] },
  { models: [""] },
  { addresses: ["not an address"] },
  { addresses: ["10.0.0.0/40"] },
  { expires_at: "tomorrow" },
  { account_id: "acc_none" },
  { unknown: 1 },
])("a key that cannot be meant is refused: %j", async (limits) => {
  expect((await admin("POST", "keys", limits)).status).toBe(400);
});

test("accounts and limits of keys are there again after a start", async () => {
  const { json } = await admin("POST", "accounts", { name: "shop", metered: true });
  const { id } = await newKey({ account_id: json["id"], scopes: ["chat"], models: ["m"], addresses: ["::1", "127.0.0.1"] });
  const { accounts, keys } = await relay.books.store.query("records", { since: -1 });
  expect(accounts.find((account) => account.id === json["id"])).toMatchObject({
    name: "shop",
    isMetered: true,
    status: "active",
  });
  expect(keys.find((key) => key.id === id)).toMatchObject({
    scopes: ["chat"],
    models: ["m"],
    addresses: ["::1", "127.0.0.1"],
  });
});

test("addresses are compared by what they mean, not by how they are written", () => {
  const account = { id: "a", name: "a", isMetered: false, tier: null, status: "active", createdAt: 0 } as const;
  const allowed = (addresses: string[], address: string | undefined): boolean => {
    const key = { ...newKeyRecord("a", "k", 0).record, addresses };
    return admit({ keys: { latest: () => key }, accounts: { get: () => account } }, key, "chat", address).ok;
  };
  expect(allowed(["127.0.0.1"], "::ffff:127.0.0.1")).toBe(true);
  expect(allowed(["2001:db8::/32"], "2001:0db8:0000::1")).toBe(true);
  expect(allowed(["2001:db8::/32"], "2001:db9::1")).toBe(false);
  expect(allowed(["10.0.0.0/8"], "11.0.0.1")).toBe(false);
  expect(allowed(["10.0.0.0/8"], undefined)).toBe(false);
  for (const entry of ["10.0.0.1/8x", "1.2.3", "0x7f.1", "::g", "10.0.0.0/33", ""]) expect(networkFault(entry)).not.toBeNull();
});
