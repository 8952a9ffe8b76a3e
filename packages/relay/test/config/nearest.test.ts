import { expect, test } from "vitest";
import { closeMatches } from "../../src/basics/nearest.ts";

const MODELS = ["deepseek-flash", "deepseek-v4-pro", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3"];

test.each([
  ["deepseek-flsh", ["deepseek-flash"]],
  ["DeepSeek-Flash", ["deepseek-flash"]],
  ["gpt-4", ["gpt-4.1", "gpt-4o", "gpt-4o-mini"]],
  ["gpt-4o-mni", ["gpt-4o-mini", "gpt-4o"]],
  ["claude", []],
  ["", []],
])("%s is close to %j", (name, close) => {
  expect(closeMatches(name, MODELS)).toEqual(close);
});

test("at most three come back, and long names cost little", () => {
  expect(
    closeMatches(
      "model-x",
      Array.from({ length: 500 }, (_, at) => `model-${at}`),
    ),
  ).toHaveLength(3);
  expect(closeMatches("x".repeat(1_000_000), ["y".repeat(1_000_000)])).toEqual([]);
});
