/** The presets: what the relay knows about providers before anything is configured. Pure data, and look-ups in it. */
import { HOSTED } from "./catalogue-hosted.ts";
import { LOCAL } from "./catalogue-local.ts";
import type { Preset } from "./preset.ts";

/** Any endpoint that speaks OpenAI's dialect and is not in the catalogue. */
export const genericPreset: Preset = {
  name: "openai-compatible",
  provider: "openai-compatible",
  baseUrl: "",
  env: "",
  hosts: [],
  needsKey: false,
  finish: "optional",
  timeouts: {},
  models: [],
  unlisted: [],
  owns: [],
  usageInStream: true,
  keepAliveComments: false,
  prefill: "none",
};

/** Every preset; hosted ones first. */
export const presets: readonly Preset[] = [...HOSTED, ...LOCAL].map((row) => ({
  ...genericPreset,
  ...row,
}));

const BY_NAME: ReadonlyMap<string, Preset> = new Map([...presets, genericPreset].map((preset) => [preset.name, preset]));

const BY_ENV: ReadonlyMap<string, Preset> = new Map(presets.map((preset) => [preset.env, preset]));

const BY_HOST: ReadonlyMap<string, Preset> = new Map(
  presets.flatMap((preset) => preset.hosts.map((host): [string, Preset] => [host, preset])),
);

/** The preset of that name, the generic one included. */
export function presetNamed(name: string): Preset | null {
  return BY_NAME.get(name) ?? null;
}

/** The preset whose variables begin with that word, e.g. `DEEPSEEK`. */
export function presetOfVariables(word: string): Preset | null {
  return BY_ENV.get(word) ?? null;
}

/** The preset that lives on that host (lower case, without port). */
export function presetOfHost(host: string): Preset | null {
  return BY_HOST.get(host) ?? null;
}

/** Names that `provider:` may have in a configuration file. */
export function presetNames(): string[] {
  return [...BY_NAME.keys()];
}

/** Says whether the preset is known to serve a model name: listed, still accepted, or owned. */
export function presetServes(preset: Preset, model: string): boolean {
  return preset.models.includes(model) || preset.unlisted.includes(model) || preset.owns.some((pattern) => owns(pattern, model));
}

function owns(pattern: string, model: string): boolean {
  return pattern.endsWith("*") ? model.startsWith(pattern.slice(0, -1)) : model === pattern;
}
