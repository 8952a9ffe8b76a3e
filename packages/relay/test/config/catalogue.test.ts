import { expect, test } from "vitest";
import { baseUrlFault } from "../../src/config/base-url.ts";
import { presetNamed, presetOfHost, presets, presetServes } from "../../src/provider/catalogue.ts";
import { providerNames } from "../../src/provider/registry.ts";

const hosted = presets.filter((preset) => preset.needsKey);

test("every preset speaks a dialect that exists, has a legal address and a variable of its own", () => {
  for (const preset of presets) {
    expect(providerNames()).toContain(preset.provider);
    expect(baseUrlFault(preset.baseUrl)).toBeNull();
    expect(preset.env).toBe(preset.name.toUpperCase());
  }
  expect(new Set(presets.map((preset) => preset.name)).size).toBe(presets.length);
});

test("every hosted preset is known by its host, and no local one is", () => {
  for (const preset of hosted) expect(presetOfHost(new URL(preset.baseUrl).hostname)).toBe(preset);
  expect(presetOfHost("127.0.0.1")).toBeNull();
  expect(presets.filter((preset) => !preset.needsKey).flatMap((preset) => preset.hosts)).toEqual([]);
});

test("no listed or accepted name is listed twice, and no two presets own the same beginning", () => {
  for (const preset of presets) {
    const names = [...preset.models, ...preset.unlisted];
    expect(new Set(names).size).toBe(names.length);
  }
  const patterns = presets.flatMap((preset) => preset.owns);
  expect(new Set(patterns).size).toBe(patterns.length);
});

test("providers that always send a finish reason say so", () => {
  const required = presets.filter((preset) => preset.finish === "required").map((preset) => preset.name);
  expect(required.sort()).toEqual(["anthropic", "deepseek", "gemini", "mistral", "openai"]);
});

test("deepseek keeps its retired names without listing them", () => {
  const preset = presetNamed("deepseek");
  expect(preset).toMatchObject({
    models: ["deepseek-flash", "deepseek-v4-pro"],
    timeouts: { firstEventMs: 600_000 },
  });
  expect(preset !== null && presetServes(preset, "deepseek-reasoner")).toBe(true);
  expect(presetNamed("toString")).toBeNull();
});
