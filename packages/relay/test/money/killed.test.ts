/** What a customer finds after the relay was killed: before an upstream gave anything, in mid-stream, and after the settlement. */
import { afterEach, describe, expect, test } from "vitest";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { until } from "../simulator/raw-client.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";

const DOLLAR = 1_000_000_000n;
const PRICE = { input: "1000.00", cached_input: "100.00", output: "2000.00" };

type Json = Record<string, unknown>;

let simulator: Simulator;
let database: TestDatabase;
let relay: RelayProcess;
let key: string;

afterEach(async () => {
  await relay.close();
  await simulator.close();
});

function config(): object {
  const place = database.configIn("");
  return {
    upstreams: { a: { provider: "openai-compatible", base_url: simulator.url } },
    models: { m: { upstreams: [{ upstream: "a", model: "m" }], price: PRICE } },
    ...(place.kind === "postgres" ? { database: place.url, durability: "process" } : {}),
  };
}

async function admin(path: string, body: unknown): Promise<Json> {
  const answer = await call(relay, { path: `/admin/api/${path}`, body, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  expect([path, answer.status]).toEqual([path, 201]);
  return JSON.parse(answer.body) as Json;
}

async function open(scenario: Partial<Scenario>): Promise<void> {
  simulator = await startSimulator({ scenario });
  relay = await startRelayProcess(config());
  const { id } = await admin("accounts", { name: "shop", metered: true });
  await admin(`accounts/${String(id)}/credits`, { amount: "500.00", reason: "test", reference: "g1" });
  key = String((await admin("keys", { account_id: id }))["key"]);
}

async function killAndStart(): Promise<void> {
  relay.child.kill("SIGKILL");
  await relay.exited;
  relay = await startRelayProcess(config(), relay);
}

/** The same request each time, under the same Idempotency-Key. */
function ask(onBytes: (bytes: Buffer) => void = () => undefined): Promise<Answer> {
  const body = { model: "m", stream: true, max_tokens: 5_000, messages: MESSAGES };
  return call({ port: relay.port, key }, { body, headers: { "idempotency-key": "order-1" }, onBytes });
}

async function get(path: string): Promise<Json> {
  return JSON.parse((await call({ port: relay.port, key }, { path, method: "GET", body: null })).body) as Json;
}

async function onlyHold(): Promise<Json> {
  const holds = await database.query(
    relay.dataDir,
    "SELECT id, state, charged, checkpoint_charge, basis FROM holds WHERE state <> 'voided'",
  );
  expect(holds.length).toBe(1);
  return holds[0] ?? {};
}

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("after the settlement: charged once, and the same key says that it is over", { timeout: 30_000 }, async () => {
    database = await newDatabase();
    await open({ text: "x", tokens: { prompt: 10, completion: 5 } });
    const whole = await ask();
    expect(readStream(whole).outcome).toBe("complete");
    await killAndStart();
    const again = await ask();
    expect([again.status, errorOf(again).code, again.headers["x-should-retry"]]).toEqual([410, "stream_lost", "false"]);
    expect(errorOf(again).message).toContain(String(whole.headers["x-request-id"]));
    expect(await onlyHold()).toMatchObject({ state: "settled", charged: 20_000_000n });
    expect(await get("/v1/balance")).toMatchObject({ balance_nanos: String(500n * DOLLAR - 20_000_000n), held_nanos: "0" });
    expect(simulator.counts.requests).toBe(1);
  });

  test("in mid-stream: charged what was noted last, once, and told so", { timeout: 30_000 }, async () => {
    database = await newDatabase();
    await open({ fault: { kind: "endless-stream" }, ratePerSecond: 100 });
    const running = ask();
    await until(() => simulator.counts.openRequests === 1);
    const noted = (): Promise<Json[]> => database.query(relay.dataDir, "SELECT id FROM holds WHERE checkpoint_charge > 0");
    await expect.poll(noted, { timeout: 10_000 }).toHaveLength(1);
    await killAndStart();
    expect((await running).isWhole).toBe(false);
    const hold = await onlyHold();
    expect(hold).toMatchObject({ state: "recovered", basis: "checkpoint", charged: hold["checkpoint_charge"] });
    expect(await get("/v1/balance")).toMatchObject({
      balance_nanos: String(500n * DOLLAR - BigInt(String(hold["charged"]))),
      held_nanos: "0",
    });
    const charge = { charge_nanos: String(hold["charged"]), basis: "checkpoint", end_reason: "relay_stopped" };
    expect(await get(`/v1/requests/${String(hold["id"])}`)).toMatchObject({ ...charge, hold: { state: "recovered" } });
    const again = await ask();
    expect([again.status, errorOf(again).code]).toEqual([410, "stream_lost"]);
    await killAndStart();
    expect(await onlyHold()).toEqual(hold);
  });

  test("before any output: charged nothing, and the same key may ask again", { timeout: 30_000 }, async () => {
    database = await newDatabase();
    await open({ fault: { kind: "hang-headers" } });
    const running = ask().catch(() => null);
    await until(() => simulator.counts.openRequests === 1);
    expect(await onlyHold()).toMatchObject({ state: "open" });
    await killAndStart();
    await running;
    expect(await onlyHold()).toMatchObject({ state: "recovered", basis: "none", charged: 0n });
    expect(await get("/v1/balance")).toMatchObject({ balance_nanos: String(500n * DOLLAR), held_nanos: "0" });
    simulator.setScenario({ text: "x", tokens: { prompt: 10, completion: 5 } });
    expect((await ask()).status).toBe(200);
    expect(await get("/v1/balance")).toMatchObject({ balance_nanos: String(500n * DOLLAR - 20_000_000n) });
  });
});
