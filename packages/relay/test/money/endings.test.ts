import { describe, expect, test } from "vitest";
import type { OnDisconnect } from "../../src/config/config.ts";
import type { Scenario } from "../../src/simulator/scenario.ts";
import { until } from "../simulator/raw-client.ts";
import { readStream } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { costOf, DOLLAR, Shop, SMALL } from "./shop.ts";

let shop: Shop;

const DRAIN: OnDisconnect = { mode: "drain", forMs: 5_000, bytesMax: 1_000_000 };
/** What the upstream bills when it runs to its end: 12 tokens in, 30 out. */
const TOKENS = { prompt: 12, completion: 30 };
const BILL = 12n * 1_000_000n + 30n * 2_000_000n;

interface Moment {
  readonly name: string;
  readonly scenario: Partial<Scenario>;
  /** The client leaves once it has seen so much, or once the upstream is asked. */
  readonly leaveAt: (body: string) => boolean;
  /** Events of the answer were delivered before it left. */
  readonly hasOutput: boolean;
}

const MOMENTS: readonly Moment[] = [
  {
    name: "before the headers",
    scenario: { ttftMs: 700, earlyHeaders: false, events: 30, tokens: TOKENS },
    leaveAt: () => false,
    hasOutput: false,
  },
  { name: "before the first token", scenario: { ttftMs: 700, events: 30, tokens: TOKENS }, leaveAt: () => false, hasOutput: false },
  {
    name: "in the middle of the stream",
    scenario: { events: 30, ratePerSecond: 40, tokens: TOKENS },
    leaveAt: (body) => body.split("\n\n").length > 8,
    hasOutput: true,
  },
  {
    name: "after the finish reason and before [DONE]",
    // Role, thirty words, finish; then a silence before the usage and [DONE].
    scenario: { events: 30, tokens: TOKENS, gapBefore: { event: 32, ms: 700 } },
    leaveAt: (body) => body.includes('"finish_reason":"stop"'),
    hasOutput: true,
  },
];

async function leave({ leaveAt, hasOutput }: Moment, stream: boolean): Promise<void> {
  const client = new AbortController();
  let body = "";
  const onBytes = (piece: Buffer): void => {
    body += piece.toString();
    if (leaveAt(body)) client.abort();
  };
  const running = shop.ask({ ...SMALL, stream, max_tokens: 60 }, { signal: client.signal, onBytes }).catch(() => null);
  await until(() => shop.simulator.counts.openRequests === 1);
  if (!hasOutput) setTimeout(() => client.abort(), 150);
  await running;
}

describe.each(Object.entries(DATABASES))("on %s, a client that leaves", (_name, newDatabase) => {
  test.each(MOMENTS)("$name pays the upstream's own bill where its call is read on", async (moment) => {
    shop = await Shop.open("5.00", moment.scenario, { database: await newDatabase(), upstream: { onDisconnect: DRAIN } });
    await leave(moment, true);
    const row = await shop.rowWhere("end_reason = 'client_gone'");
    expect(row).toMatchObject({ basis: "exact", charge_nanos: BILL, input_tokens: 12n, output_tokens: 30n });
    expect(await shop.balance()).toMatchObject({ balance_nanos: String(5n * DOLLAR - BILL), held_nanos: "0" });
  });

  test.each(MOMENTS)("$name pays its prompt and what it got where its call is ended", async (moment) => {
    shop = await Shop.open("5.00", moment.scenario, { database: await newDatabase() });
    await leave(moment, true);
    const row = await shop.rowWhere("end_reason = 'client_gone'");
    expect(row).toMatchObject({ basis: "estimated", charge_nanos: costOf(row) });
    expect(Number(row["input_tokens"])).toBeGreaterThan(0);
    expect(Number(row["output_tokens"]) > 0).toBe(moment.hasOutput);
    expect(Number(row["output_tokens"])).toBeLessThanOrEqual(60);
    expect(await shop.balance()).toMatchObject({ held_nanos: "0" });
    await until(() => shop.simulator.counts.openRequests === 0);
  });
});

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  test("an answer that a second upstream gave is one hold and one charge; what the first cost is ours", async () => {
    shop = await Shop.open(
      "5.00",
      { fault: { kind: "status", status: 500 } },
      { database: await newDatabase(), fallback: { simulator: { scenario: { text: "x", tokens: TOKENS } } } },
    );
    expect(readStream(await shop.ask()).outcome).toBe("complete");
    const row = await shop.relay.row();
    expect(row).toMatchObject({ upstream: "b", charge_nanos: Number(BILL), basis: "exact" });
    expect((await shop.relay.query("SELECT outcome FROM attempts ORDER BY n")).map((attempt) => attempt["outcome"])).toEqual([
      "failed",
      "ok",
    ]);
    expect(await shop.relay.query("SELECT charged FROM holds")).toEqual([{ charged: BILL }]);
    expect(await shop.relay.query("SELECT count(*) AS n FROM transfers WHERE hold_id IS NOT NULL")).toEqual([{ n: 1n }]);
  });

  test("an answer without usage has its tokens estimated; one that says zero costs nothing", async () => {
    shop = await Shop.open("5.00", { text: "one two three four", usage: "never" }, { database: await newDatabase() });
    expect(readStream(await shop.ask()).outcome).toBe("complete");
    const row = await shop.rowWhere("basis = 'estimated'");
    expect(row).toMatchObject({ end_reason: "complete", charge_nanos: costOf(row) });
    expect(BigInt(String(row["charge_nanos"]))).toBeGreaterThan(0n);
    shop.simulator.setScenario({ text: "x", tokens: { prompt: 0, completion: 0 } });
    await shop.ask();
    expect(await shop.rowWhere("basis = 'exact'")).toMatchObject({ charge_nanos: 0n });
  });
});
