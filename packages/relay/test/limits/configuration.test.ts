import { describe, expect, test } from "vitest";
import { knownKeys } from "../../src/config/file/schema.ts";
import { fileConfig, fileMistakes } from "../config/files.ts";

const MODELS = "upstreams: { a: { base_url: http://h } }\nmodels: { big: { upstreams: [ { upstream: a } ] } }\n";

describe("limits of a configuration file", () => {
  test("become frozen tiers", () => {
    const { limits } = fileConfig(`${MODELS}limits:
  default_tier: free
  tiers:
    free: { rpm: 20, tpm: 40000, in_flight: 2, models: [big, a/other], per_model: { big: { rpm: 1, in_flight: 1 } } }
    standard: { rpm: 600, in_flight: 50 }
    open: {}
`);
    expect(limits?.defaultTier).toBe("free");
    expect(limits?.tiers.get("free")).toEqual({
      limits: { rpm: 20, tpm: 40_000, inFlight: 2 },
      models: ["big", "a/other"],
      perModel: new Map([["big", { rpm: 1, tpm: undefined, inFlight: 1 }]]),
    });
    expect(limits?.tiers.get("standard")).toEqual({ limits: { rpm: 600, inFlight: 50 }, models: null, perModel: new Map() });
    expect([...(limits?.tiers.keys() ?? [])]).toEqual(["free", "standard", "open"]);
    expect(Object.isFrozen(limits?.tiers.get("free")?.limits)).toBe(true);
  });

  test("are absent when the file says nothing of them", () => {
    expect(fileConfig("listen: 127.0.0.1:80").limits).toBeUndefined();
  });

  test("need no upstreams beside them, and then take any model name", () => {
    expect(fileConfig("limits: { tiers: { t: { models: [gpt-5] } } }").limits?.defaultTier).toBeNull();
  });

  test.each([
    ["limits: {}", "1:9 limits.tiers is missing."],
    ["limits: 3", "1:9 limits must be a mapping."],
    ["limits: { tier: {} }", "1:11 limits.tier is not a known key; did you mean tiers?"],
    ["limits: { tiers: { t: { rpn: 1 } } }", "1:25 limits.tiers.t.rpn is not a known key; did you mean rpm?"],
    ["limits: { tiers: { t: { rpm: 0 } } }", "1:30 limits.tiers.t.rpm must be at least 1."],
    ["limits: { tiers: { t: { rpm: 1.5 } } }", "1:30 limits.tiers.t.rpm must be a whole number."],
    ["limits: { tiers: { t: { tpm: 40k } } }", "1:30 limits.tiers.t.tpm must be a whole number."],
    ["limits: { tiers: { t: { in_flight: 1e12 } } }", "1:36 limits.tiers.t.in_flight must be at most 1000000000."],
    [
      "limits: { tiers: { 'a b': {} } }",
      "1:20 limits.tiers.(name) is not a legal name: it must be letters, digits, dots, dashes and underscores.",
    ],
    ["limits: { tiers: { t: { models: [] } } }", "1:33 limits.tiers.t.models must name at least one model."],
    ["limits: { tiers: { free: {} }, default_tier: fre }", "1:46 limits.default_tier names no tier of this file; did you mean free?"],
    [
      "limits: { tiers: { t: { per_model: { m: { rpm: 1, inflight: 2 } } } } }",
      "1:51 limits.tiers.t.per_model.m.inflight is not a known key; did you mean in_flight?",
    ],
    [
      `${MODELS}limits: { tiers: { t: { models: [bog] } } }`,
      "3:34 limits.tiers.t.models[0] names no model of this file; did you mean big?",
    ],
    [
      `${MODELS}limits: { tiers: { t: { per_model: { small: { rpm: 1 } } } } }`,
      "3:45 limits.tiers.t.per_model.small names no model of this file.",
    ],
  ])("have the place of a mistake: %s", (text, mistake) => {
    expect(fileMistakes(text)).toContain(mistake);
  });

  test("are told all at once", () => {
    expect(fileMistakes("limits: { tiers: { t: { rpm: 0, tpm: x } }, default_tier: u }").length).toBe(3);
  });

  test("have their keys at every depth, whatever tiers and models are called", () => {
    expect(knownKeys(["limits"])).toEqual(["tiers", "default_tier"]);
    expect(knownKeys(["limits", "tiers", "limits"])).toEqual(["rpm", "tpm", "in_flight", "models", "per_model"]);
    expect(knownKeys(["limits", "tiers", "t", "per_model", "tiers"])).toEqual(["rpm", "tpm", "in_flight"]);
    expect(knownKeys(["upstreams", "tiers", "timeouts"])).toContain("connect");
  });
});
