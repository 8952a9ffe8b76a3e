import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { costNanos, type PriceAt } from "@millrace/policy/price";
import { afterAll, describe, expect, test } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { formatMistakes, loadConfig } from "../../src/config/load.ts";
import { resolveModel } from "../../src/config/resolve-model.ts";
import { costFor, modelsWithoutPrice, priceFor } from "../../src/prices/book.ts";
import { fileConfig, fileMistakes } from "../config/files.ts";
import { configOf, KEY } from "../config/routes.ts";

const OFF_PEAK = Date.parse("2026-11-21T02:00:00Z");
const PEAK = Date.parse("2026-11-20T02:00:00Z");

const USAGE = { input: 1_000_000, cachedInput: 0, cacheWrite: 0, output: 1_000_000, reasoning: 0 };

/** USD of a million tokens in and out, or null. */
function usd(price: PriceAt | null): number | null {
  return price === null ? null : Number(costNanos(price, USAGE)) / 1e9;
}

function priced(config: Config, name: string, at = OFF_PEAK): number | null {
  const model = resolveModel(config, name);
  return model === null ? null : usd(priceFor(config.prices, model, at));
}

const TWO = `upstreams:
  deepseek: { api_key: "\${DEEPSEEK_API_KEY}" }
  spare:
    base_url: https://llm.example.com/v1
    costs: { some-model: { input: "0.10", cached_input: "0.01", output: "0.20" } }
`;

describe("with variables alone", () => {
  const config = configOf({ DEEPSEEK_API_KEY: KEY, OPENAI_API_KEY: KEY, OLLAMA_BASE_URL: "http://127.0.0.1:11434/v1" });

  test("a model costs what its first upstream does, by the hour", () => {
    expect(priced(config, "deepseek-flash")).toBe(0.75);
    expect(priced(config, "deepseek-flash", PEAK)).toBe(1.5);
    expect(priced(config, "deepseek/deepseek-v4-pro")).toBe(2.64);
    expect(priced(config, "deepseek-chat")).toBe(0.75);
  });

  test("a name that no table has is without a price", () => {
    expect(priced(config, "ollama/llama3")).toBeNull();
    expect(priced(config, "deepseek-unheard-of")).toBeNull();
    expect(modelsWithoutPrice(config.prices, config.models.values(), OFF_PEAK)).toEqual([]);
    const early = modelsWithoutPrice(config.prices, config.models.values(), Date.parse("2026-01-01"));
    expect(early).toContain("deepseek-flash");
    expect(early).not.toContain("deepseek-chat");
  });

  test("costs follow the provider behind an address, whatever the upstream is called", () => {
    const fallback = configOf({ FALLBACK_BASE_URL: "https://api.deepseek.com/v1", FALLBACK_API_KEY: KEY });
    expect(usd(costFor(fallback.prices, "fallback", "deepseek-flash", OFF_PEAK))).toBe(0.75);
  });

  test("the book is frozen and says nothing in warnings", () => {
    expect(Object.isFrozen(config.prices)).toBe(true);
    expect(Object.isFrozen(config.prices.costs.get("deepseek")?.get("deepseek-flash")?.[0]?.kinds)).toBe(true);
    expect(config.warnings).toEqual([]);
  });
});

describe("with a file that names models", () => {
  const models = `models:
  chat: { upstreams: [{ upstream: deepseek, model: deepseek-flash }], price: { input: "0.20", cached_input: same, output: "1.00" } }
  other: { upstreams: [{ upstream: spare, model: some-model }] }
  third: { upstreams: [{ upstream: spare, model: unknown }] }
`;

  test("a price is what is written, and nothing else has one", () => {
    const config = fileConfig(TWO + models);
    expect([priced(config, "chat"), priced(config, "other")]).toEqual([1.2, null]);
    expect(modelsWithoutPrice(config.prices, config.models.values())).toEqual(["other", "third"]);
    expect(config.warnings).toContain("No price is known for other, third. Metered accounts cannot use a model without a price.");
    expect(usd(costFor(config.prices, "spare", "some-model", OFF_PEAK))).toBe(0.3);
  });

  test("a markup makes prices of costs for the models that have none", () => {
    const config = fileConfig(`${TWO}${models}prices: { markup: "1.25" }`);
    expect([priced(config, "chat"), priced(config, "other"), priced(config, "third")]).toEqual([1.2, 0.375, null]);
    expect(priced(config, "deepseek/deepseek-flash", PEAK)).toBe(1.875);
    expect(config.warnings).toContain("No price is known for third. Metered accounts cannot use a model without a price.");
  });

  test("a price holds from its date on, a cost of one's own replaces the table's from then on", () => {
    const dated = `upstreams:
  deepseek:
    api_key: "\${DEEPSEEK_API_KEY}"
    costs: { deepseek-flash: { from: 2026-11-21, input: "1", cached_input: "1", output: "1", per_request: "0.0000001" } }
models: { chat: { upstreams: [{ upstream: deepseek, model: deepseek-flash }], price: { from: 2026-11-21, input: "0", cached_input: "0", output: "0" } } }
prices: { markup: "1.5" }
`;
    const config = fileConfig(dated);
    expect(priced(config, "chat", PEAK)).toBe(2.25);
    expect(priced(config, "chat", OFF_PEAK)).toBe(0);
    expect(usd(costFor(config.prices, "deepseek", "deepseek-flash", OFF_PEAK))).toBe(2.0000001);
    expect(priced(config, "deepseek/deepseek-flash", OFF_PEAK)).toBe(3.00000015);
  });

  test("without models the catalogue names them, and they cost what their upstreams do", () => {
    expect(priced(fileConfig(TWO), "deepseek-flash")).toBe(0.75);
    expect(fileConfig(TWO).warnings).toEqual([]);
  });

  test("a price has the same id in every process, and another one when it differs", () => {
    const idOf = (text: string): string | undefined => fileConfig(text).prices.prices.get("chat")?.[0]?.id;
    expect(idOf(TWO + models)).toMatch(/^price:chat@1970-01-01T00:00:00Z#[0-9a-f]{12}$/);
    expect(idOf(TWO + models)).toBe(idOf(TWO + models));
    expect(idOf((TWO + models).replace('"0.20", cached_input: same', '"0.21", cached_input: same'))).not.toBe(idOf(TWO + models));
  });
});

describe("a mistake in a price has its place", () => {
  const start = "upstreams: { a: { base_url: 'http://127.0.0.1:1' } }\nmodels: { m: { upstreams: [{ upstream: a }], price: ";
  const plain = 'input: "1", cached_input: "1", output: "1"';

  test.each([
    [`{ input: 0.1, cached_input: "1", output: "1" }`, ['2:62 models.m.price.input must be decimal text in quotation marks, e.g. "0.10".']],
    [`{ input: "1,5", cached_input: "1", output: "1" }`, ['2:62 models.m.price.input must be a decimal text such as "0.10".']],
    [`{ input: "-1", cached_input: "1", output: "1" }`, ["2:62 models.m.price.input must not be negative."]],
    [
      `{ input: "0.0000001", cached_input: "1", output: "1" }`,
      ["2:62 models.m.price.input has more than 6 digits after the point, which is all that can be kept."],
    ],
    [
      `{ input: "1", output: "1" }`,
      ["2:53 models.m.price.cached_input is missing; write same if cached input costs as much as other input."],
    ],
    [`{ ${plain}, outptu: "2" }`, ["2:99 models.m.price.outptu is not a known key; did you mean output?"]],
    [
      `{ ${plain}, from: tomorrow }`,
      ["2:105 models.m.price.from must be a date such as 2026-09-10, or an instant such as 2026-08-16T16:00:00Z."],
    ],
    [`{ ${plain}, bands: [{ above: 0, ${plain} }] }`, ["2:116 models.m.price.bands[0].above must be at least 1."]],
    [
      `{ ${plain}, bands: [{ above: 9, input: "0.5", cached_input: "1", output: "1" }] }`,
      ["2:107 models.m.price.bands[0] must not be cheaper than the prices below it."],
    ],
    [
      `{ ${plain}, windows: [{ name: w, utc: "1-2", times: "2" }] }`,
      ["2:125 models.m.price.windows[0].utc must be times of day such as 01:00-04:00, 06:00-10:00."],
    ],
    [
      `{ ${plain}, windows: [{ name: w, utc: "01:00-02:00", tims: "2" }] }`,
      [
        "2:109 models.m.price.windows[0] must have either times or prices of its own.",
        "2:140 models.m.price.windows[0].tims is not a known key; did you mean times?",
      ],
    ],
    [
      `{ ${plain}, windows: [{ name: w, utc: "01:00-02:00", times: "2", except_holidays: mars }] }`,
      ["2:169 models.m.price.windows[0].except_holidays must be cn."],
    ],
    ["5", ["2:53 models.m.price must be a mapping."]],
  ])("%s", (price, meant) => expect(fileMistakes(`${start}${price} } }`)).toEqual(meant));

  test("in costs and in the markup too", () => {
    expect(
      fileMistakes(
        "upstreams: { a: { base_url: 'http://127.0.0.1:1', costs: { m: { input: 1 } } } }\nprices: { markup: 1.25, imports: [] }",
      ).map((line) => line.split(" ", 3).slice(1, 3).join(" ")),
    ).toEqual([
      "upstreams.a.costs.m.cached_input is",
      "upstreams.a.costs.m.output is",
      "upstreams.a.costs.m.input must",
      "prices.markup must",
      "prices.imports is",
    ]);
  });
});

test("where prices.missing is refuse a model without a price is a mistake, unless it is marked free", async () => {
  const directory = mkdtempSync(join(tmpdir(), "millrace-missing-"));
  const load = (text: string): ReturnType<typeof loadConfig> => {
    writeFileSync(join(directory, "c.yaml"), text);
    return loadConfig({ file: "c.yaml", env: { DEEPSEEK_API_KEY: KEY }, cwd: directory });
  };
  const models = (price: string): string => `models: { third: { upstreams: [{ upstream: spare, model: unknown }]${price} } }\n`;
  const refused = await load(`${TWO}${models("")}prices: { missing: refuse }\n`);
  expect(refused.ok ? "" : formatMistakes(refused.mistakes)).toBe(
    'c.yaml:7:20: No price is known for third, and prices.missing is refuse. A free model has prices of "0".',
  );
  const free = ', price: { input: "0", cached_input: "0", output: "0" }';
  for (const text of [`${models(free)}prices: { missing: refuse }\n`, `${models("")}prices: { missing: warn }\n`, models("")])
    expect((await load(TWO + text)).ok).toBe(true);
  rmSync(directory, { recursive: true });
});

describe("a list to import", () => {
  const directory = mkdtempSync(join(tmpdir(), "millrace-prices-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const load = (name: string, text: string): ReturnType<typeof loadConfig> => {
    writeFileSync(join(directory, name), text);
    return loadConfig({ file: name, env: { DEEPSEEK_API_KEY: KEY }, cwd: directory });
  };
  const withLists = (...lists: string[]): string => `${TWO}prices: { import: [${lists.join(", ")}] }\n`;
  const list = (input: string): string =>
    JSON.stringify({
      "deepseek/new-model": {
        litellm_provider: "deepseek",
        mode: "chat",
        input_cost_per_token: 1,
        cache_read_input_token_cost: 0,
        output_cost_per_token: 0,
      },
      left: { litellm_provider: "deepseek", mode: "chat", input_cost_per_token: 1, output_cost_per_token: 0 },
    }).replaceAll(':1,"', `:${input},"`);

  test("adds costs for the upstreams of its providers, and its findings are warnings", async () => {
    writeFileSync(join(directory, "list.json"), list("2.7e-07"));
    const result = await load("good.yaml", withLists("list.json"));
    expect(result.ok).toBe(true);
    if (!result.ok) return;
    expect(priced(result.config, "deepseek/new-model")).toBe(0.27);
    expect(priced(result.config, "deepseek-flash")).toBe(0.75);
    expect(result.config.warnings).toContain("list.json: deepseek/left: is left out: cached_input is missing.");
  });

  test("that cannot be read or holds nothing usable is a mistake where it is named", async () => {
    writeFileSync(join(directory, "no.json"), "{");
    const result = await load("bad.yaml", withLists("missing.json", "no.json"));
    expect(result.ok ? "" : formatMistakes(result.mistakes)).toBe(
      "bad.yaml:6:20: The price list does not exist.\nbad.yaml:6:34: The price list has no usable row: is not valid JSON.",
    );
  });
});
