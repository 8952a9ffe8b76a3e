/** A relay with an account that pays, for tests about money. */
import { costNanos, priceIn } from "@millrace/policy/price";
import { readWrittenPrice } from "@millrace/policy/price-written";
import { expect, onTestFinished } from "vitest";
import { withId } from "../../src/prices/id.ts";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { call, MESSAGES } from "../support/call.ts";
import { SQLITE } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { ADMIN_TOKEN, startRelay } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

export type Json = Record<string, unknown>;

/** A thousand US dollars for a million tokens of input, two thousand for output: 1,000,000 and 2,000,000 nano-USD a token. */
const written = readWrittenPrice({ input: "1000.00", cached_input: "100.00", output: "2000.00" });
if (!("price" in written)) throw new Error("the test's own price is wrong");
const HISTORY = [withId("m", written.price)];
export const PRICES: NonNullable<RelaySetup["prices"]> = { prices: new Map([["m", HISTORY]]), costs: new Map(), derived: new Map() };

export const DOLLAR = 1_000_000_000n;

export const SMALL = { model: "m", stream: true, max_tokens: 20, messages: MESSAGES };

/** What a stored row costs by the test's own price. */
export function costOf(row: Json): bigint {
  const price = priceIn(HISTORY, Date.now());
  if (price === null) throw new Error("no price");
  const tokens = (kind: string): number => Number(row[`${kind}_tokens`]);
  return costNanos(price, {
    input: tokens("input"),
    cachedInput: tokens("cached_input"),
    cacheWrite: tokens("cache_write"),
    output: tokens("output"),
    reasoning: tokens("reasoning"),
  });
}

interface Balance {
  readonly balance_nanos: string;
  readonly held_nanos: string;
  readonly available: string;
}

export class Shop {
  readonly relay: TestRelay;
  readonly id: string;
  readonly key: string;
  readonly keyId: string;
  /** Where its books are. */
  readonly database: TestDatabase;

  private constructor(relay: TestRelay, id: string, made: Json, database: TestDatabase) {
    this.relay = relay;
    this.database = database;
    this.id = id;
    this.key = String(made["key"]);
    this.keyId = String(made["id"]);
  }

  /** Opens one that is closed when the running test is over. @param credit in USD; `0` is none. */
  static async open(...setup: Parameters<typeof Shop.start>): Promise<Shop> {
    const shop = await Shop.start(...setup);
    onTestFinished(() => shop.close());
    return shop;
  }

  /** Opens one that the caller closes. @param credit in USD; `0` is none. */
  static async start(
    credit: string,
    scenario: Partial<Scenario>,
    more: Partial<Omit<RelaySetup, "upstreams">> & {
      readonly upstream?: Partial<RelaySetup["upstreams"][string]>;
      /** A second upstream, `b`. */
      readonly fallback?: RelaySetup["upstreams"][string];
    } = {},
  ): Promise<Shop> {
    const { upstream, fallback, ...setup } = more;
    const upstreams = { a: { simulator: { scenario }, ...upstream }, ...(fallback === undefined ? {} : { b: fallback }) };
    const relay = await startRelay({ upstreams, prices: PRICES, ...setup });
    const account = await adminOf(relay, "POST", "accounts", { name: "shop", metered: true });
    const id = String(account["id"]);
    if (credit !== "0") await adminOf(relay, "POST", `accounts/${id}/credits`, { amount: credit, reason: "test", reference: "grant-1" });
    return new Shop(relay, id, await adminOf(relay, "POST", "keys", { account_id: id }), setup.database ?? SQLITE);
  }

  get simulator(): NonNullable<TestRelay["simulators"][string]> {
    const simulator = this.relay.simulators["a"];
    if (simulator === undefined) throw new Error("no simulator");
    return simulator;
  }

  admin(method: string, path: string, body?: unknown): Promise<Json> {
    return adminOf(this.relay, method, path, body);
  }

  ask(body: unknown = SMALL, more: object = {}, key: string = this.key): ReturnType<typeof call> {
    return call({ port: this.relay.port, key }, { body, ...more });
  }

  async get(path: string, key: string = this.key): Promise<{ readonly status: number; readonly json: Json }> {
    const answer = await call({ port: this.relay.port, key }, { path, method: "GET", body: null });
    return { status: answer.status, json: JSON.parse(answer.body) as Json };
  }

  async balance(): Promise<Balance> {
    return (await this.get("/v1/balance")).json as unknown as Balance;
  }

  /** Waits for the first row of requests that the condition is true of: errors leave before their rows are written. */
  async rowWhere(condition: string): Promise<Json> {
    const deadline = performance.now() + 5_000;
    for (;;) {
      const [row] = await this.relay.query(`SELECT * FROM requests WHERE ${condition} ORDER BY at, id`);
      if (row !== undefined) return row;
      if (performance.now() > deadline) throw new Error(`no row within 5 s: ${condition}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The stored hold of a request. */
  async hold(id: unknown): Promise<Json> {
    const [hold] = await this.relay.query(`SELECT * FROM holds WHERE id = '${String(id)}'`);
    if (hold === undefined) throw new Error(`there is no hold ${String(id)}`);
    return hold;
  }

  close(): Promise<void> {
    return this.relay.close();
  }
}

async function adminOf(relay: TestRelay, method: string, path: string, body?: unknown): Promise<Json> {
  const answer = await call(relay, {
    method,
    path: `/admin/api/${path}`,
    body: body ?? null,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  expect([answer.status < 300, answer.body]).toEqual([true, expect.any(String)]);
  return JSON.parse(answer.body) as Json;
}
