import { readFileSync } from "node:fs";
import { type BilledUsage, costOf, priceAt, type PriceHistory } from "@millrace/policy/price";
import { holdNanos } from "@millrace/policy/price-hold";
import { priceFromJson } from "@millrace/policy/price-json";
import { describe, expect, test } from "vitest";

interface Vectors {
  readonly books: Readonly<Record<string, readonly unknown[]>>;
  readonly cases: readonly { readonly book: string; readonly at: string; readonly usage: BilledUsage; readonly expected: unknown }[];
}

const vectors = JSON.parse(readFileSync(new URL("../../../fixtures/prices.json", import.meta.url), "utf8")) as Vectors;

const books: ReadonlyMap<string, PriceHistory> = new Map(
  Object.entries(vectors.books).map(([name, history]) => [name, history.map(priceFromJson)]),
);

/** A cost as the vectors write it. */
function costAt(model: string, at: string, usage: BilledUsage): object | null {
  const price = priceAt(books, model, Date.parse(at));
  if (price === null) return null;
  const { parts, window, bandAbove, exactAtto, chargeNanos } = costOf(price, usage);
  const said = parts.map((part) => ({ kind: part.kind, tokens: `${part.tokens}`, price: `${part.price}`, exactAtto: `${part.exactAtto}` }));
  return { version: price.version.id, window, bandAbove, parts: said, exactAtto: `${exactAtto}`, chargeNanos: `${chargeNanos}` };
}

describe("the price function agrees with an independent program on", () => {
  test.each(vectors.cases)("$book at $at: $usage", ({ book, at, usage, expected }) => {
    expect(costAt(book, at, usage)).toEqual(expected);
    const price = priceAt(books, book, Date.parse(at));
    if (price === null) return;
    const hold = holdNanos(price.version, { inputMax: usage.input, outputMax: usage.output });
    expect(costOf(price, usage).chargeNanos <= hold).toBe(true);
  });
});
