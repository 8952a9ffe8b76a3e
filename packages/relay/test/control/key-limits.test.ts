/** Budgets and limits of a key: set, shown, changed, and in force. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import { startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane();
});
afterAll(() => plane.close());

/** What the ledger has of a key's budgets. */
function budgetsOf(keyId: string): unknown[] {
  const database = new DatabaseSync(join(plane.relay.dataDir, "millrace.db"), { readOnly: true });
  const rows = database.prepare("SELECT id, scope, period, cap FROM budgets WHERE scope = ? ORDER BY id").all(`key:${keyId}`);
  database.close();
  return rows.map((row) => ({ ...row }));
}

test("a key's budgets are set in the ledger when it is made, and when they change", async () => {
  const budgets = [
    { period: "day", cap: "5.00" },
    { period: "total", cap: "100" },
  ];
  const made = await plane.made("POST", "keys", { budgets });
  const id = String(made["id"]);
  expect(made["budgets"]).toEqual([
    { period: "day", cap: "5.00", cap_nanos: "5000000000" },
    { period: "total", cap: "100.00", cap_nanos: "100000000000" },
  ]);
  const scope = `key:${id}`;
  const total = { id: `${scope}:total`, scope, period: "total", cap: 100_000_000_000 };
  expect(budgetsOf(id)).toEqual([{ id: `${scope}:day`, scope, period: "day", cap: 5_000_000_000 }, total]);
  expect(plane.relay.app.keys.find(id)?.budgets).toEqual([
    { period: "day", capNanos: "5000000000" },
    { period: "total", capNanos: "100000000000" },
  ]);
  await plane.made("PATCH", `keys/${id}`, { budgets: [{ period: "day", cap: "0.000000001" }] });
  expect(budgetsOf(id)).toEqual([{ id: `${scope}:day`, scope, period: "day", cap: 1 }, total]);
  expect((await plane.made("PATCH", `keys/${id}`, { name: "renamed" }))["budgets"]).toMatchObject([{ period: "day", cap: "0.000000001" }]);
  const rotated = await plane.made("POST", `keys/${id}/rotate`, {});
  expect(budgetsOf(String(rotated["id"]))).toMatchObject([{ period: "day", cap: 1 }]);
  expect((await plane.made("PATCH", `keys/${id}`, { budgets: null }))["budgets"]).toEqual([]);
});

test.each<[Json]>([
  [{ budgets: [{ period: "year", cap: "1.00" }] }],
  [{ budgets: [{ period: "day", cap: 1 }] }],
  [{ budgets: [{ period: "day", cap: "-1.00" }] }],
  [{ budgets: [{ period: "day", cap: "1.0000000001" }] }],
  [{ budgets: ["2000000000", "1.00"].map((cap, at) => ({ period: ["day", "week"][at], cap })) }],
  [{ budgets: ["day", "day"].map((period) => ({ period, cap: "1.00" })) }],
  [{ budgets: ["day", "week", "month", "total", "day"].map((period) => ({ period, cap: "1.00" })) }],
  [{ limits: { rpm: 0 } }],
  [{ limits: { rpm: 1.5 } }],
  [{ limits: { concurrency: 1 } }],
])("a key that cannot be limited so is refused, and nothing is stored: %j", async (wish) => {
  const before = (await plane.all("keys")).length;
  expect((await plane.ask("POST", "keys", { body: wish })).status).toBe(400);
  expect((await plane.all("keys")).length).toBe(before);
});

test("a key's own limits hold beside those of its account, and may be lifted", async () => {
  const made = await plane.made("POST", "keys", { limits: { rpm: 2 } });
  expect(made["limits"]).toEqual({ rpm: 2, tpm: null, in_flight: null });
  const ask = (): ReturnType<typeof call> =>
    call({ port: plane.relay.port, key: String(made["key"]) }, { body: { model: "m", messages: MESSAGES } });
  expect((await ask()).headers["x-ratelimit-limit-requests"]).toBe("2");
  expect((await ask()).status).toBe(200);
  const refused = await ask();
  expect([refused.status, errorOf(refused).code]).toEqual([429, "rate_limited"]);
  expect(errorOf(refused).message).toContain("key rpm");
  expect((await call(plane.relay, { body: { model: "m", messages: MESSAGES } })).status).toBe(200);
  expect((await plane.made("PATCH", `keys/${String(made["id"])}`, { limits: { rpm: null } }))["limits"]).toBeNull();
  expect((await ask()).status).toBe(200);
});
