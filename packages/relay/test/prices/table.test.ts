import { costNanos, priceIn } from "@millrace/policy/price";
import { describe, expect, test } from "vitest";
import { shippedCosts, tableRows } from "../../src/prices/table.ts";
import { presets } from "../../src/provider/catalogue.ts";

const costs = shippedCosts();

/** Cached / uncached / output in USD per million tokens at an instant. */
function pricesAt(name: string, instant: string): string | null {
  const [provider = "", model = ""] = name.split("/");
  const price = priceIn(costs.get(provider)?.get(model) ?? [], Date.parse(instant));
  if (price === null) return null;
  const ofMillion = (usage: object): string =>
    String(Number(costNanos(price, { input: 0, cachedInput: 0, cacheWrite: 0, output: 0, reasoning: 0, ...usage })) / 1e9);
  return [ofMillion({ input: 1_000_000, cachedInput: 1_000_000 }), bandless(price), ofMillion({ output: 1_000_000 })].join("/");
}

function bandless(price: NonNullable<ReturnType<typeof priceIn>>): string {
  return String(Number(costNanos(price, { input: 1000, cachedInput: 0, cacheWrite: 0, output: 0, reasoning: 0 })) / 1e6);
}

describe("the shipped cost table", () => {
  test.each([
    ["deepseek/deepseek-chat", "2025-02-07", null],
    ["deepseek/deepseek-chat", "2025-06-01", "0.07/0.27/1.1"],
    ["deepseek/deepseek-reasoner", "2025-06-01", "0.14/0.55/2.19"],
    ["deepseek/deepseek-reasoner", "2026-01-15", "0.028/0.28/0.42"],
    ["deepseek/deepseek-chat", "2026-04-24", "0.028/0.14/0.28"],
    ["deepseek/deepseek-v4-flash", "2026-06-01", "0.0028/0.14/0.28"],
    ["deepseek/deepseek-v4-pro", "2026-05-01", "0.145/1.74/3.48"],
    ["deepseek/deepseek-v4-pro", "2026-06-01", "0.003625/0.435/0.87"],
    ["deepseek/deepseek-v4-flash", "2026-08-16T15:59:59Z", "0.0028/0.14/0.28"],
    ["deepseek/deepseek-v4-flash", "2026-08-16T16:00:00Z", "0.007/0.22/0.66"],
    ["deepseek/deepseek-v4-flash", "2026-08-17T01:00:00Z", "0.014/0.44/1.32"],
    ["deepseek/deepseek-flash", "2026-09-09", null],
    ["deepseek/deepseek-flash", "2026-11-21T02:00:00Z", "0.003/0.15/0.6"],
    ["deepseek/deepseek-flash", "2026-11-20T02:00:00Z", "0.006/0.3/1.2"],
    ["deepseek/deepseek-v4-flash", "2026-11-20T02:00:00Z", "0.006/0.3/1.2"],
    ["deepseek/deepseek-chat", "2026-11-20T02:00:00Z", "0.006/0.3/1.2"],
    ["deepseek/deepseek-v4-pro", "2026-11-20T02:00:00Z", "0.044/1.32/3.96"],
    ["anthropic/claude-sonnet-5-5", "2026-10-06", "0.2/2/10"],
    ["anthropic/claude-sonnet-5-5", "2026-10-07", "0.1/2/10"],
    ["gemini/gemini-3.7-flash", "2026-12-31", "0.075/0.75/3.75"],
    ["gemini/gemini-3.7-flash", "2027-01-01", "0.15/1.5/7.5"],
  ])("has %s at %s as %s", (name, instant, meant) => expect(pricesAt(name, instant)).toBe(meant));

  test("says of every row where it was read and when, and of second-hand ones that they are", () => {
    for (const { model, readFrom } of tableRows()) {
      expect(readFrom.title.length, model).toBeGreaterThan(10);
      expect(readFrom.date, model).toMatch(/^2026-\d{2}-\d{2}$/);
    }
    const firstHand = new Set(tableRows().flatMap(({ provider, readFrom }) => (readFrom.isSecondHand ? [] : [provider])));
    expect([...firstHand]).toEqual(["deepseek", "anthropic"]);
  });

  test("knows its providers by their names in the catalogue, and holds each model once", () => {
    const names = presets.map(({ name }) => name);
    expect(tableRows().filter(({ provider }) => !names.includes(provider))).toEqual([]);
    const rows = tableRows().map(({ provider, model }) => `${provider}/${model}`);
    expect(new Set(rows).size).toBe(rows.length);
  });

  test("has versions in the order of their dates, each with an id of its own", () => {
    const histories = [...costs.values()].flatMap((models) => [...models.values()]);
    for (const history of histories) {
      const dates = history.map(({ effectiveFromMs }) => effectiveFromMs);
      expect(new Set(dates).size).toBe(dates.length);
      expect(dates).toEqual(dates.toSorted((a, b) => a - b));
    }
    const ids = histories.flat().map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(shippedCosts()).toEqual(costs);
  });

  test("uses no key that the reader does not know", () => {
    const known = ["from", "input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning", "bands", "windows", "above"];
    const inWindows = ["name", "utc", "days", "except_holidays", "times"];
    const keysOf = (value: unknown): string[] =>
      typeof value !== "object" || value === null
        ? []
        : Object.entries(value).flatMap(([key, child]) => [...(Array.isArray(value) ? [] : [key]), ...keysOf(child)]);
    const used = new Set(tableRows().flatMap(({ versions }) => keysOf(versions)));
    expect([...used].filter((key) => ![...known, ...inWindows].includes(key))).toEqual([]);
  });
});
