import { readFileSync } from "node:fs";
import { costNanos, priceIn } from "@millrace/policy/price";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { importedTable, type Import, importPrices } from "../../src/prices/import.ts";

function fixture(name: string): Import {
  return importPrices(readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8"));
}

const rowOf = (read: Import, name: string): Import["rows"][number] | undefined =>
  read.rows.find(({ provider, model }) => `${provider}/${model}` === name);

const said = (read: Import): string[] => read.findings.map(({ name, reason }) => `${name} ${reason}`);

describe("LiteLLM's list", () => {
  const read = fixture("litellm.json");

  test("gives a row for everything that is priced by text tokens, by our names of providers", () => {
    expect(read.rows.map(({ provider, model }) => `${provider}/${model}`)).toEqual([
      "deepseek/deepseek-flash",
      "gemini/gemini-2.5-pro",
      "anthropic/claude-haiku-4-5",
      "together/some/model",
      "openai/text-embedding-3-small",
    ]);
  });

  test("is read as decimal text: 3e-09 USD is 3,000 pico-USD exactly", () => {
    expect(rowOf(read, "deepseek/deepseek-flash")?.history[0]?.kinds).toMatchObject({
      input: 150_000n,
      cachedInput: 3000n,
      output: 600_000n,
    });
    expect(rowOf(read, "together/some/model")?.history[0]?.kinds).toMatchObject({
      input: 270_000n,
      cachedInput: 270_000n,
      output: 850_000n,
    });
    expect(rowOf(read, "anthropic/claude-haiku-4-5")?.history[0]?.kinds).toMatchObject({
      cacheWrite5m: 1_250_000n,
      cacheWrite1h: 2_000_000n,
    });
    expect(rowOf(read, "openai/text-embedding-3-small")?.history[0]?.kinds).toMatchObject({
      input: 20_000n,
      cachedInput: 20_000n,
      output: 0n,
    });
  });

  test("has tiers, which become bands of the whole request", () => {
    expect(rowOf(read, "gemini/gemini-2.5-pro")?.history[0]?.bands).toMatchObject([
      { aboveInputTokens: 200_000, kinds: { input: 2_500_000n, cachedInput: 250_000n, output: 15_000_000n } },
    ]);
  });

  test("names everything that was left out, and why", () => {
    expect(said(read)).toEqual([
      "one of the providers/sample_spec is left out: it is not billed by text tokens",
      "gemini/gemini-2.5-pro has charges that are not imported: input_cost_per_audio_token",
      "together/some/model has charges that are not imported: output_cost_per_token_batches",
      "openai/dall-e-3 is left out: it is not billed by text tokens",
      "/nobody is left out: it names no provider",
      "dashscope/own-tiers is left out: its tiers have a form of their own",
      "openai/no-cache-price is left out: cached_input is missing",
      'openai/float-dust is left out: input must be a decimal text such as "0.10"',
      "xai/half-tier is left out: bands.cached_input is missing",
      "openai/text-embedding-3-small is there twice; the first is taken",
    ]);
  });
});

describe("the list of genai-prices", () => {
  const read = fixture("genai-prices.json");

  test("has dates and times of day, which become versions with windows", () => {
    const history = rowOf(read, "deepseek/deepseek-chat")?.history ?? [];
    const inputAt = (instant: string): bigint | undefined => {
      const price = priceIn(history, Date.parse(instant));
      return price === null ? undefined : costNanos(price, { input: 1000, cachedInput: 0, cacheWrite: 0, output: 0, reasoning: 0 });
    };
    expect(inputAt("2025-03-01T00:29:00Z")).toBe(135_000n);
    expect(inputAt("2025-03-01T00:30:00Z")).toBe(270_000n);
    expect(inputAt("2025-03-01T16:30:00Z")).toBe(135_000n);
    expect(inputAt("2025-09-05T12:00:00Z")).toBe(560_000n);
    expect(rowOf(read, "deepseek/deepseek-chat-v3-0324")?.history).toHaveLength(2);
  });

  test("has tiers and fees, exactly", () => {
    expect(rowOf(read, "gemini/gemini-2.5-pro")?.history[0]?.bands).toMatchObject([
      { aboveInputTokens: 200_000, kinds: { output: 15_000_000n } },
    ]);
    expect(rowOf(read, "perplexity/sonar")?.history[0]?.perRequestNanos).toBe(12_000_000n);
  });

  test("names everything that was left out, and why", () => {
    expect(said(read)).toEqual([
      "deepseek/deepseek-chat has rules for names that are not imported; its own name and exact ones are",
      "gemini/gemini-2.5-pro has charges that are not imported: input_audio_mtok",
      "gemini/odd is left out: a condition is of an unknown form",
      "perplexity/empty is left out: it has no prices",
      "deepseek/deepseek-v3.2 is left out: cached_input is missing",
    ]);
  });

  test("may be wrapped with its units", () => {
    const text = readFileSync(new URL("fixtures/genai-prices.json", import.meta.url), "utf8");
    expect(importPrices(`{"units":{},"providers":${text}}`)).toEqual(read);
  });
});

describe("any other text", () => {
  test.each(["", "{", "1", '"x"', "null"])("such as %j gives no row and one finding", (text) => {
    const read = importPrices(text);
    expect(read.rows).toEqual([]);
    expect(read.findings).toHaveLength(1);
  });

  test("never throws, whatever JSON it is", () => {
    const keys = fc.constantFrom(
      "mode",
      "litellm_provider",
      "input_cost_per_token",
      "prices",
      "models",
      "id",
      "match",
      "or",
      "constraint",
      "__proto__",
    );
    const values = fc.letrec((tie) => ({
      any: fc.oneof({ depthSize: "small" }, fc.constantFrom("chat", "openai", null, 1e-7, 5), tie("list"), tie("object")),
      list: fc.array(tie("any"), { maxLength: 3 }),
      object: fc.dictionary(keys, tie("any"), { maxKeys: 6 }),
    }));
    fc.assert(
      fc.property(values.any, (value) => {
        expect(importPrices(JSON.stringify([value])).rows).toBeInstanceOf(Array);
      }),
    );
    fc.assert(
      fc.property(values.object, (value) => {
        expect(importPrices(JSON.stringify({ m: value })).rows).toBeInstanceOf(Array);
      }),
    );
  });
});

test("an imported table is by provider and model", () => {
  const table = importedTable(fixture("litellm.json").rows);
  expect([...table.keys()]).toEqual(["deepseek", "gemini", "anthropic", "together", "openai"]);
  expect(table.get("together")?.get("some/model")?.[0]?.id).toMatch(/^together\/some\/model@1970-01-01T00:00:00Z#[0-9a-f]{12}$/);
});
