import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import { SqliteLedger } from "../../src/store/ledger-sqlite.ts";
import { call, MESSAGES } from "../support/call.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";

let simulator: Simulator;
let relay: RelayProcess;
afterEach(async () => {
  await relay.close();
  await simulator.close();
});

const CYCLES = process.env["MILLRACE_LONG"] === "1" ? 300 : 12;
const STREAMS = 20;
/** 100 tokens in and 10 out, at 1,000 and 2,000 nano-USD. */
const CHARGE = 100n * 1_000n + 10n * 2_000n;

type Json = Record<string, unknown>;

async function admin(path: string, body: unknown): Promise<Json> {
  const answer = await call(relay, {
    method: "POST",
    path: `/admin/api/${path}`,
    body,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  expect(answer.status).toBe(201);
  return JSON.parse(answer.body) as Json;
}

function query(sql: string): Json[] {
  const database = new DatabaseSync(join(relay.dataDir, "millrace.db"), { readOnly: true });
  try {
    const statement = database.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all();
  } finally {
    database.close();
  }
}

test("kill -9 under streams loses no charge, makes none twice, and leaves no hold open", { timeout: 30_000 + CYCLES * 6_000 }, async () => {
  simulator = await startSimulator({
    scenario: { events: [5, 60], ratePerSecond: 400, tokens: { prompt: 100, completion: 10 } },
    seenMax: 100_000,
  });
  const config = {
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: { upstreams: [{ upstream: "a", model: "m" }], price: { input: "1.00", cached_input: "0.10", output: "2.00" } } },
  };
  relay = await startRelayProcess(config);
  const account = await admin("accounts", { name: "shop", metered: true });
  await admin(`accounts/${String(account["id"])}/credits`, { amount: "1000.00", reason: "test", reference: "grant" });
  const { key } = (await admin("keys", { account_id: account["id"] })) as { key: string };
  const finished = new Set<string>();
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    let isDead = false;
    const loops = Array.from({ length: STREAMS }, async (_, i) => {
      while (!isDead) {
        const body = { model: "m", stream: i % 4 !== 0, max_tokens: 60, messages: MESSAGES };
        const answer = await call({ port: relay.port, key }, { body }).catch(() => null);
        if (answer?.isWhole === true && answer.status === 200) finished.add(String(answer.headers["x-request-id"]));
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 150 + 300 * Math.random()));
    relay.child.kill("SIGKILL");
    isDead = true;
    await Promise.all(loops);
    await relay.exited;
    relay = await startRelayProcess(config, relay);
  }
  expect(finished.size).toBeGreaterThan(CYCLES * 5);

  const [wallet] = query("SELECT balance, held FROM wallets");
  expect(wallet?.["held"]).toBe(0n);
  const holds = new Map(query("SELECT id, state, charged FROM holds").map((hold) => [String(hold["id"]), hold]));
  expect([...holds.values()].filter((hold) => hold["state"] === "open")).toEqual([]);
  // Who saw the good end was charged, once, and exactly.
  for (const id of finished) expect([id, holds.get(id)?.["state"], holds.get(id)?.["charged"]]).toEqual([id, "settled", CHARGE]);
  const charged = [...holds.values()].reduce((sum, hold) => sum + BigInt(String(hold["charged"])), 0n);
  expect(wallet?.["balance"]).toBe(1_000_000_000_000n - charged);
  // Nothing reached the upstream without a hold, and what was not settled cost nothing.
  expect(simulator.counts.requests).toBeLessThanOrEqual(holds.size);
  for (const hold of holds.values()) if (hold["state"] !== "settled") expect(hold["charged"]).toBe(0n);
  // Every row's charge is its hold's.
  for (const row of query("SELECT id, charge_nanos FROM requests WHERE charge_nanos IS NOT NULL"))
    expect(holds.get(String(row["id"]))?.["charged"]).toBe(row["charge_nanos"]);
  const database = new DatabaseSync(join(relay.dataDir, "millrace.db"), { readOnly: true });
  expect(new SqliteLedger(database).audit()).toEqual([]);
  database.close();
});
