import { afterEach, describe, expect, test } from "vitest";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";
import { median, timed } from "../support/timed.ts";

const ROUNDS = process.env["MILLRACE_LONG"] === "1" ? 20 : 3;
const CROWD = 1_000;
const DOLLAR = 1_000_000_000n;

let simulator: Simulator;
let relay: RelayProcess;
afterEach(async () => {
  await relay.close();
  await simulator.close();
});

interface Balance {
  readonly balance_nanos: string;
  readonly held_nanos: string;
}

type Json = Record<string, unknown>;

async function admin(path: string, body: unknown): Promise<Json> {
  const answer = await call(relay, { path: `/admin/api/${path}`, body, headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  expect([path, answer.status]).toEqual([path, 201]);
  return JSON.parse(answer.body) as Json;
}

async function customer(name: string, credit: string): Promise<{ readonly id: string; readonly key: string }> {
  const { id } = await admin("accounts", { name, metered: true });
  await admin(`accounts/${String(id)}/credits`, { amount: credit, reason: "test", reference: `credit of ${name}` });
  const { key } = await admin("keys", { account_id: id });
  return { id: String(id), key: String(key) };
}

function ask(key: string, model = "m"): Promise<Answer> {
  return call({ port: relay.port, key }, { body: { model, stream: true, max_tokens: 20, messages: MESSAGES } });
}

async function balanceOf(key: string): Promise<Balance> {
  return JSON.parse((await call({ port: relay.port, key }, { path: "/v1/balance", method: "GET", body: null })).body) as Balance;
}

const usd = (nanos: bigint): string => `${nanos / DOLLAR}.${String(nanos % DOLLAR).padStart(9, "0")}`;

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test(
    `of ${CROWD} requests at once against credit for ten no more than ten are let in, and the others hear it soon`,
    { timeout: 60_000 + ROUNDS * 20_000 },
    async () => {
      simulator = await startSimulator({ scenario: { text: "x", ttftMs: 4_000 }, seenMax: 10 });
      const database = await newDatabase();
      const place = database.configIn("");
      relay = await startRelayProcess({
        upstreams: { a: { provider: "openai-compatible", base_url: simulator.url, max_in_flight: 5_000 } },
        models: {
          m: { upstreams: [{ upstream: "a", model: "m" }], price: { input: "1000.00", cached_input: "100.00", output: "2000.00" } },
        },
        ...(place.kind === "postgres" ? { database: place.url, durability: "process" } : {}),
      });
      const rich = await customer("rich", "1000.00");
      const probe = ask(rich.key);
      while (simulator.counts.openRequests === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const hold = BigInt((await balanceOf(rich.key)).held_nanos);
      await probe;
      for (let round = 1; round <= ROUNDS; round++) {
        const { id, key } = await customer(`round ${round}`, usd(hold * 10n));
        const before = simulator.counts.requests;
        const samples: bigint[] = [];
        const sampling = setInterval(
          () => void balanceOf(key).then((seen) => samples.push(BigInt(seen.balance_nanos) - BigInt(seen.held_nanos))),
          50,
        );
        // The control: as many at once that the relay refuses for a model it does not have, without a look at the credit.
        const controlMs = await timed(() => Promise.all(Array.from({ length: CROWD }, () => ask(key, "no-such-model"))));
        const all = await Promise.all(Array.from({ length: CROWD }, () => ask(key)));
        clearInterval(sampling);
        const refused = all.filter((answer) => answer.status === 402);
        expect(all.filter((answer) => answer.status === 200).length).toBe(10);
        expect(refused.length).toBe(CROWD - 10);
        expect(new Set(refused.map((answer) => errorOf(answer).code))).toEqual(new Set(["insufficient_credits"]));
        expect(simulator.counts.requests - before).toBe(10);
        // By the relay's own books: the client needs most of a second to send so many.
        const rows = await database.query(
          relay.dataDir,
          `SELECT duration_ms FROM requests WHERE error_code = 'insufficient_credits' AND account_id = '${id}'`,
        );
        const waits = rows.map((row) => Number(row["duration_ms"]));
        expect(waits.length).toBe(CROWD - 10);
        expect(median(waits)).toBeLessThan(200 + controlMs / 2);
        expect(Math.max(...waits)).toBeLessThan(1_000 + controlMs);
        expect(samples.length).toBeGreaterThan(10);
        expect(samples.filter((available) => available < 0n)).toEqual([]);
        expect((await balanceOf(key)).held_nanos).toBe("0");
      }
    },
  );
});
