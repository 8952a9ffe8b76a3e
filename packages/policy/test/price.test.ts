import {
  type BilledUsage,
  costNanos,
  costOf,
  mapKinds,
  type PriceAt,
  priceAt,
  type PriceKinds,
  type PriceVersion,
  type PriceWindow,
} from "@millrace/policy/price";
import { holdNanos, type TokenBounds } from "@millrace/policy/price-hold";
import { priceFromJson, priceToJson } from "@millrace/policy/price-json";
import { nanos, picoPerToken } from "@millrace/wire/money";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const RUNS = { numRuns: 2000 };

const pico = fc.bigInt({ min: 0n, max: 100_000_000n }).map(picoPerToken);
const tokens = fc.oneof(fc.nat(50), fc.nat(2_000_000));

const kindsOf: fc.Arbitrary<PriceKinds> = fc.record({
  input: pico,
  cachedInput: pico,
  cacheWrite5m: pico,
  cacheWrite1h: pico,
  output: pico,
  reasoning: fc.option(pico),
});

/** Bands dearer than what is below, as the readers demand. */
const rates = fc
  .tuple(kindsOf, fc.array(fc.tuple(fc.integer({ min: 1, max: 1_000_000 }), fc.bigInt({ min: 0n, max: 10_000_000n })), { maxLength: 3 }))
  .map(([kinds, steps]) => {
    let last = kinds;
    const bands = [...new Map(steps)]
      .toSorted(([a], [b]) => a - b)
      .map(([aboveInputTokens, more]) => {
        last = mapKinds(last, (price) => picoPerToken(price + more));
        return { aboveInputTokens, kinds: last };
      });
    return { kinds, bands };
  });

const windowOf: fc.Arbitrary<PriceWindow> = fc.record({
  name: fc.constant("w"),
  utcMinutes: fc.constant([[0, 720] as const]),
  weekdays: fc.constant([0, 1, 2, 3, 4, 5, 6]),
  exceptHolidays: fc.constantFrom(null, "cn"),
  rates: fc.oneof(rates, fc.record({ numerator: fc.bigInt({ min: 1n, max: 9n }), denominator: fc.constant(1n) })),
});

const versions: fc.Arbitrary<PriceVersion> = fc
  .tuple(rates, fc.array(windowOf, { maxLength: 2 }), fc.bigInt({ min: 0n, max: 1_000_000n }), fc.bigInt({ min: 0n, max: 5_000_000n }))
  .map(([own, windows, fee, markupPpm]) => ({ id: "v", effectiveFromMs: 0, ...own, windows, perRequestNanos: nanos(fee), markupPpm }));

const usages: fc.Arbitrary<Required<BilledUsage>> = fc.record({
  input: tokens,
  cachedInput: tokens,
  cacheWrite: tokens,
  cacheWrite1h: tokens,
  output: tokens,
  reasoning: tokens,
});

/** The price with each of its windows open, and with none. */
function everyMoment(version: PriceVersion): PriceAt[] {
  return [null, ...version.windows].map((window) => ({ version, window }));
}

describe("a charge", () => {
  test("is the exact sum of its parts, rounded up by less than a nano-dollar", () => {
    const claim = fc.property(versions, usages, (version, usage) => {
      for (const moment of everyMoment(version)) {
        const cost = costOf(moment, usage);
        const exact = cost.parts.reduce((sum, part) => sum + part.tokens * part.price * version.markupPpm, 0n);
        const rounding = (cost.chargeNanos - version.perRequestNanos) * 1_000_000_000n - exact;
        expect(cost.exactAtto).toBe(exact);
        expect(rounding >= 0n && rounding < 1_000_000_000n).toBe(true);
      }
    });
    fc.assert(claim, RUNS);
  });

  test("has parts that sum to the reported tokens, whatever overlaps in the report", () => {
    const claim = fc.property(versions, usages, (version, usage) => {
      const { parts } = costOf({ version, window: null }, usage);
      const sum = (kinds: readonly string[]): bigint =>
        parts.filter(({ kind }) => kinds.includes(kind)).reduce((all, part) => all + part.tokens, 0n);
      expect(sum(["input", "cachedInput", "cacheWrite5m", "cacheWrite1h"])).toBe(BigInt(usage.input));
      expect(sum(["output", "reasoning"])).toBe(BigInt(usage.output));
    });
    fc.assert(claim, RUNS);
  });

  test("never falls when a kind of token is added to", () => {
    const claim = fc.property(versions, usages, fc.nat(1000), (version, some, more) => {
      const usage = disjoint(some);
      const sides = {
        input: ["input"],
        cachedInput: ["input", "cachedInput"],
        cacheWrite: ["input", "cacheWrite"],
        output: ["output"],
        reasoning: ["output", "reasoning"],
      };
      for (const keys of Object.values(sides)) {
        const added = { ...usage, ...Object.fromEntries(keys.map((key) => [key, usage[key as keyof typeof usage] + more])) };
        for (const moment of everyMoment(version)) expect(costNanos(moment, added) >= costNanos(moment, usage)).toBe(true);
      }
    });
    fc.assert(claim, RUNS);
  });

  test("is never more than its hold", () => {
    const claim = fc.property(versions, usages, fc.nat(1000), fc.nat(1000), (version, usage, moreInput, moreOutput) => {
      const bounds = { inputMax: usage.input + moreInput, outputMax: usage.output + moreOutput };
      for (const moment of everyMoment(version)) expect(costNanos(moment, usage) <= holdNanos(version, bounds)).toBe(true);
    });
    fc.assert(claim, RUNS);
  });

  test("is never more than a hold that leaves out cache writes which do not happen", () => {
    const claim = fc.property(versions, usages, (version, usage) => {
      const bounds = (cacheWrite: TokenBounds["cacheWrite"] & string): TokenBounds => ({
        inputMax: usage.input,
        outputMax: usage.output,
        cacheWrite,
      });
      for (const moment of everyMoment(version)) {
        expect(costNanos(moment, { ...usage, cacheWrite: 0 }) <= holdNanos(version, bounds("none"))).toBe(true);
        expect(costNanos(moment, { ...usage, cacheWrite1h: 0 }) <= holdNanos(version, bounds("5m"))).toBe(true);
      }
    });
    fc.assert(claim, RUNS);
  });

  test("is nothing for free tokens, and something for every paid one", () => {
    const free = flat(0n);
    const paid = { ...free, markupPpm: 1n, kinds: mapKinds(free.kinds, () => picoPerToken(1n)) };
    fc.assert(
      fc.property(usages, (usage) => {
        expect(costNanos({ version: free, window: null }, usage)).toBe(0n);
      }),
    );
    for (const key of ["input", "output"] as const) expect(costNanos({ version: paid, window: null }, { ...NOTHING, [key]: 1 })).toBe(1n);
  });

  test("is not moved by reports that are nonsense", () => {
    const version = flat(1_000_000n);
    for (const count of [Number.NaN, -5, Number.NEGATIVE_INFINITY])
      expect(costNanos({ version, window: null }, { ...NOTHING, input: count, output: count })).toBe(0n);
    expect(costNanos({ version, window: null }, { ...NOTHING, output: Number.POSITIVE_INFINITY })).toBe(1_000_000_000_000n);
    expect(costNanos({ version, window: null }, { ...NOTHING, output: 0.5 })).toBe(1000n);
  });

  test("is the same after the version was written as JSON and read", () => {
    const claim = fc.property(versions, usages, (version, usage) => {
      const read = priceFromJson(JSON.parse(JSON.stringify(priceToJson(version))));
      expect(read).toEqual(version);
      expect(costNanos({ version: read, window: null }, usage)).toBe(costNanos({ version, window: null }, usage));
    });
    fc.assert(claim);
    for (const damaged of [null, [], {}, { kinds: {}, bands: 1 }]) expect(() => priceFromJson(damaged)).toThrow(TypeError);
  });
});

const NOTHING: BilledUsage = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0, reasoning: 0 };

function flat(price: bigint): PriceVersion {
  const one = picoPerToken(price);
  const kinds = { input: one, cachedInput: one, cacheWrite5m: one, cacheWrite1h: one, output: one, reasoning: null };
  return { id: "v", effectiveFromMs: 0, kinds, bands: [], windows: [], perRequestNanos: nanos(0n), markupPpm: 1_000_000n };
}

/** Parts as they would be reported if they were in order. */
function disjoint(usage: Required<BilledUsage>): Required<BilledUsage> {
  return {
    ...usage,
    input: usage.input + usage.cachedInput + usage.cacheWrite,
    cacheWrite1h: Math.min(usage.cacheWrite1h, usage.cacheWrite),
    output: usage.output + usage.reasoning,
  };
}

describe("a band", () => {
  const dear = mapKinds(flat(5n).kinds, (price) => price);
  const version = { ...flat(1n), markupPpm: 1_000_000_000n, bands: [{ aboveInputTokens: 272_000, kinds: dear }] };

  test("reprices the whole request, and only strictly above its bound", () => {
    const at = (input: number): bigint => costNanos({ version, window: null }, { ...NOTHING, input, output: 10 });
    expect([at(271_999), at(272_000), at(272_001)]).toEqual([272_009n, 272_010n, 5n * 272_011n]);
  });

  test("counts for a hold when the bound of the prompt reaches it", () => {
    expect(holdNanos(version, { inputMax: 272_000, outputMax: 0 })).toBe(272_000n);
    expect(holdNanos(version, { inputMax: 272_001, outputMax: 0 })).toBe(5n * 272_001n);
  });
});

describe("a version", () => {
  const book = new Map([
    [
      "m",
      [
        { ...flat(1n), id: "a", effectiveFromMs: 1000 },
        { ...flat(2n), id: "b", effectiveFromMs: 2000 },
      ],
    ],
  ]);

  test("holds from its instant on, until the next one", () => {
    expect([999, 1000, 1999, 2000, 9e12].map((at) => priceAt(book, "m", at)?.version.id ?? null)).toEqual([null, "a", "a", "b", "b"]);
    expect(priceAt(book, "other", 5000)).toBeNull();
  });
});
