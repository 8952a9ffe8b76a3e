import {
  formatPricePerMillion,
  formatUsd,
  nanos,
  parseInteger,
  parsePricePerMillion,
  parsePricePerToken,
  parseUsd,
  picoPerToken,
  toJson,
} from "@millrace/wire/money";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const INT64_MAX = 2n ** 63n - 1n;

const amounts = fc.bigInt({ min: -INT64_MAX, max: INT64_MAX });
const prices = fc.bigInt({ min: 0n, max: INT64_MAX });

describe("an amount", () => {
  test.each([
    ["5.00", 5_000_000_000n],
    ["0", 0n],
    ["-0", 0n],
    ["0.000000001", 1n],
    ["0.0000000010", 1n],
    ["-1.5", -1_500_000_000n],
    ["71.23", 71_230_000_000n],
    ["1e3", 1_000_000_000_000n],
    ["15e-1", 1_500_000_000n],
    ["9223372036.854775807", INT64_MAX],
  ])("%s USD is %s nano-USD", (text, meant) => expect(parseUsd(text)).toEqual({ value: meant }));

  test("comes back from its text", () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        expect(parseUsd(formatUsd(nanos(amount)))).toEqual({ value: amount });
      }),
    );
  });

  test("is written with as few digits as say it exactly, and at least two places", () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        expect(formatUsd(nanos(amount))).toMatch(/^-?(?:0|[1-9]\d*)\.\d(?:\d|\d*[1-9])$/);
      }),
    );
    expect([0n, 10_000_000n, -28n, 1_234_500_000_000n].map((amount) => formatUsd(nanos(amount)))).toEqual([
      "0.00",
      "0.01",
      "-0.000000028",
      "1234.50",
    ]);
  });

  test("travels in JSON as the text of its integer", () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        expect(parseInteger(toJson(nanos(amount)))).toEqual({ value: amount });
      }),
    );
    for (const wrong of [5, "05", "-0", "1.0", "1e3", "", " 1", "0x10", null, "99999999999999999999"])
      expect(parseInteger(wrong)).toHaveProperty("fault");
    expect(parseInteger("9999999999999999999")).toEqual({ fault: "is too large" });
  });
});

describe("a price", () => {
  test("of $0.0028 per million tokens is 2,800 pico-USD per token", () => {
    expect(parsePricePerMillion("0.0028")).toEqual({ value: 2800n });
    expect(parsePricePerMillion("0.003625")).toEqual({ value: 3625n });
    expect(formatPricePerMillion(picoPerToken(2800n))).toBe("0.0028");
    expect(formatPricePerMillion(picoPerToken(15_000_000n))).toBe("15.00");
  });

  test("per token may have an exponent as long as it is exact", () => {
    expect(parsePricePerToken("2.7e-07")).toEqual({ value: 270_000n });
    expect(parsePricePerToken("0.00000027")).toEqual({ value: 270_000n });
    expect(parsePricePerToken("2.7E-11")).toEqual({ value: 27n });
    expect(parsePricePerToken("0.0")).toEqual({ value: 0n });
    expect(parsePricePerToken("7.000000000000001e-07")).toHaveProperty("fault", expect.stringContaining("more than 12 digits"));
  });

  test("comes back from its text", () => {
    fc.assert(
      fc.property(prices, (price) => {
        expect(parsePricePerMillion(formatPricePerMillion(picoPerToken(price)))).toEqual({ value: price });
      }),
    );
  });

  test("is never negative", () => expect(parsePricePerMillion("-0.1")).toEqual({ fault: "must not be negative" }));
});

describe("what is refused", () => {
  test("is every number, since it may have lost digits already", () => {
    fc.assert(
      fc.property(fc.double(), (number) => {
        for (const parse of [parseUsd, parsePricePerMillion, parsePricePerToken])
          expect(parse(number)).toHaveProperty("fault", expect.stringContaining("quotation marks"));
      }),
    );
  });

  test("is more digits than the unit holds, unless they are zeros", () => {
    const digits = fc.tuple(fc.nat(999), fc.stringMatching(/^\d{9,20}$/), fc.integer({ min: 1, max: 9 }));
    fc.assert(
      fc.property(digits, ([whole, fraction, last]) => {
        expect(parseUsd(`${whole}.${fraction}${last}`)).toHaveProperty("fault", expect.stringContaining("more than 9 digits"));
        expect(parseUsd(`${whole}.${fraction.slice(0, 9)}${"0".repeat(last)}`)).toHaveProperty("value");
      }),
    );
  });

  test.each(["", " 1", "1 ", "1,000", "$5", ".5", "5.", "+5", "1e", "1e1000", "0x10", "Infinity", "NaN", "١", "1_000", "1".repeat(65)])(
    "is %j, which is no plain decimal",
    (text) => expect(parseUsd(text)).toEqual({ fault: 'must be a decimal text such as "0.10"' }),
  );

  test("is what no 64-bit column holds", () => {
    for (const text of ["9223372036.854775808", "1e999", "-9e99"]) expect(parseUsd(text)).toEqual({ fault: "is too large" });
    expect(parseUsd("1e-999")).toHaveProperty("fault");
    for (const other of [null, undefined, true, {}, ["1"]]) expect(parseUsd(other)).toHaveProperty("fault");
  });
});
