/** The example of the documentation, with its numbers: whoever changes one must change the other. */
import type { BilledUsage, PriceVersion } from "@millrace/policy/price";
import { costNanos } from "@millrace/policy/price";
import { nanos, picoPerToken } from "@millrace/wire/money";
import { afterEach, describe, expect, test } from "vitest";
import { hold, must, promo, settle } from "./operations.ts";
import { STORES, withCredit } from "./stores.ts";
import type { TestLedger } from "./stores.ts";

/** $0.28 a million uncached input tokens, $0.028 cached, $0.42 output, and 10 % on top. */
const VERSION: PriceVersion = {
  id: "price_1",
  effectiveFromMs: 0,
  kinds: {
    input: picoPerToken(280_000n),
    cachedInput: picoPerToken(28_000n),
    cacheWrite5m: picoPerToken(280_000n),
    cacheWrite1h: picoPerToken(280_000n),
    output: picoPerToken(420_000n),
    reasoning: null,
  },
  bands: [],
  windows: [],
  perRequestNanos: nanos(0n),
  markupPpm: 1_100_000n,
};

function price(usage: Pick<BilledUsage, "input" | "cachedInput" | "output">): bigint {
  return costNanos({ version: VERSION, window: null }, { cacheWrite: 0, reasoning: 0, ...usage });
}

describe.each(Object.entries(STORES))("%s", (_name, open) => {
  let ledger: TestLedger;
  afterEach(async () => {
    expect(await ledger.audit()).toEqual([]);
    await ledger.close();
  });

  test("with $5.00 paid and $0.0002 given, a request of 1,234 + 567 tokens holds 988,988 nano-USD and costs 500,100", async () => {
    ledger = await open();
    await withCredit(ledger, 5_000_000_000n);
    await ledger.one(promo("welcome", 200_000n));

    // At most 1,300 input tokens, none of them cached, and max_tokens = 1,274:
    // (1,300 x 280,000 + 1,274 x 420,000) pico x 1.1 = 988,988 nano.
    const amountNanos = price({ input: 1_300, cachedInput: 0, output: 1_274 });
    expect(amountNanos).toBe(988_988n);
    const held = must(await ledger.one(hold("req_example", amountNanos)));
    expect(held.balances).toEqual({
      accountId: "acme",
      balanceNanos: 5_000_200_000n,
      heldNanos: 988_988n,
      availableNanos: 4_999_211_012n,
    });

    // 1,234 input tokens, 512 of them cached, and 567 output tokens:
    // (722 x 280,000 + 512 x 28,000 + 567 x 420,000) pico x 1.1 = 500,099.6 nano, rounded up.
    const cost = price({ input: 1_234, cachedInput: 512, output: 567 });
    expect(cost).toBe(500_100n);
    const settled = must(await ledger.one(settle("req_example", cost, { inputTokens: 1_234, outputTokens: 567 })));
    expect(settled.hold).toMatchObject({ state: "settled", chargedNanos: 500_100n, writtenOffNanos: 0n });
    expect(settled.balances).toMatchObject({ balanceNanos: 4_999_699_900n, heldNanos: 0n, availableNanos: 4_999_699_900n });

    const transfers = await ledger.query?.("SELECT id, debit, credit, amount, balance_after FROM transfers ORDER BY wallet_seq");
    expect(transfers ?? TRANSFERS).toEqual(TRANSFERS);
  });
});

/** The promotion goes first; what it does not cover comes out of the payment. */
const TRANSFERS = [
  { id: "credit:top-up-1", debit: "cash", credit: "wallet:acme", amount: 5_000_000_000n, balance_after: 5_000_000_000n },
  { id: "credit:welcome", debit: "promo_cost", credit: "wallet:acme", amount: 200_000n, balance_after: 5_000_200_000n },
  { id: "settle:req_example:promo", debit: "wallet:acme", credit: "revenue", amount: 200_000n, balance_after: 5_000_000_000n },
  { id: "settle:req_example", debit: "wallet:acme", credit: "revenue", amount: 300_100n, balance_after: 4_999_699_900n },
];
