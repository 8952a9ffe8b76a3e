/** The `limits` of a configuration file: its shape, what in it must agree with the rest of the file, and how it becomes configuration. */
import { asObject } from "@millrace/wire/json-values";
import type { LimitSet } from "@millrace/policy/limit";
import { z } from "zod";
import type { LimitsConfig, Tier } from "../config.ts";
import type { Path } from "./document.ts";
import { hint } from "../../basics/nearest.ts";

/** What a public model may be called. */
export const MODEL_NAME = /^[^\s\p{C}]{1,200}$/u;

const TIER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const LIMIT_MAX = 1_000_000_000;

function bound(meaning: string): z.ZodOptional<z.ZodInt> {
  return z
    .int({ error: "must be a whole number" })
    .min(1, { error: "must be at least 1" })
    .max(LIMIT_MAX, { error: `must be at most ${LIMIT_MAX}` })
    .describe(meaning)
    .optional();
}

const bounds = {
  rpm: bound("Most requests in any minute."),
  tpm: bound("Most tokens in any minute, input plus output."),
  in_flight: bound("Most requests at the same time."),
};

export const limitSet = z.strictObject(bounds).describe("Limits of one model within each account of the tier.");

const modelName = z.string({ error: "must be text; put it in quotation marks" }).regex(MODEL_NAME, {
  error: "must be a model's name: 1 to 200 characters without white space",
});

export const tier = z
  .strictObject({
    ...bounds,
    models: z
      .array(modelName, { error: "must be a list" })
      .min(1, { error: "must name at least one model" })
      .describe("Public models that accounts of this tier may use; all if absent.")
      .optional(),
    per_model: z
      .record(z.string().regex(MODEL_NAME, { error: "must be 1 to 200 characters without white space" }), limitSet)
      .describe("Limits of single models, in addition to those of the whole account.")
      .optional(),
  })
  .describe("A named set of limits; the relay does not limit what is absent.");

export const limits = z
  .strictObject({
    tiers: z
      .record(z.string().regex(TIER_NAME, { error: "must be letters, digits, dots, dashes and underscores" }), tier)
      .describe("Sets of limits by name; each account of a tier has its limits to itself."),
    default_tier: z
      .string({ error: "must be text; put it in quotation marks" })
      .describe("Tier of accounts that have none; without a default tier they are not limited.")
      .optional(),
  })
  .describe("Limits of accounts, counted within one process.");

type LimitsShape = z.infer<typeof limits>;
type SetShape = z.infer<typeof limitSet>;

/** Undefined when the file says nothing of limits. */
export function limitsOf(said: LimitsShape | undefined): LimitsConfig | undefined {
  if (said === undefined) return undefined;
  const tiers = Object.entries(said.tiers).map(([name, entry]): [string, Tier] => [name, tierOf(entry)]);
  return { tiers: new Map(tiers), defaultTier: said.default_tier ?? null };
}

function tierOf({ models, per_model: perModel, ...rest }: z.infer<typeof tier>): Tier {
  const sets = Object.entries(perModel ?? {}).map(([name, entry]): [string, LimitSet] => [name, setOf(entry)]);
  return { limits: setOf(rest), models: models ?? null, perModel: new Map(sets) };
}

function setOf({ rpm, tpm, in_flight: inFlight }: SetShape): LimitSet {
  return { rpm, tpm, inFlight };
}

interface Fault {
  readonly path: Path;
  readonly fault: string;
}

/** Names that refer to nothing. @param models names of the file's own models, or null when the catalogue decides. */
export function limitFaults(data: unknown, models: readonly string[] | null): Fault[] {
  const said = mapping(data);
  const tiers = mapping(said["tiers"]);
  return [
    ...defaultFaults(said["default_tier"], Object.keys(tiers)),
    ...Object.entries(tiers).flatMap(([name, entry]) => (models === null ? [] : tierFaults(name, mapping(entry), models))),
  ];
}

function defaultFaults(name: unknown, tiers: readonly string[]): Fault[] {
  if (typeof name !== "string" || tiers.includes(name)) return [];
  return [{ path: ["limits", "default_tier"], fault: `names no tier of this file${hint(name, tiers)}` }];
}

function tierFaults(tierName: string, entry: Readonly<Record<string, unknown>>, models: readonly string[]): Fault[] {
  const path = ["limits", "tiers", tierName];
  const listed: unknown[] = Array.isArray(entry["models"]) ? entry["models"] : [];
  return [
    ...listed.flatMap((name, at) => nameFaults([...path, "models", at], name, models)),
    ...Object.keys(mapping(entry["per_model"])).flatMap((name) => nameFaults([...path, "per_model", name], name, models)),
  ];
}

/** `upstream/model` is legal everywhere. */
function nameFaults(path: Path, name: unknown, models: readonly string[]): Fault[] {
  if (typeof name !== "string" || models.includes(name) || name.includes("/")) return [];
  return [{ path, fault: `names no model of this file${hint(name, models)}` }];
}

function mapping(value: unknown): Readonly<Record<string, unknown>> {
  return asObject(value) ?? {};
}
