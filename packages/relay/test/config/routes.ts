/** Shared by the tests: a configuration from variables, and the routes of a name as short text. */
import type { Config } from "../../src/config/config.ts";
import { configFromEnvironment } from "../../src/config/environment/from-environment.ts";
import { resolveModel } from "../../src/config/resolve-model.ts";

export const KEY = "k-0123456789abcdef";

/** The configuration of these variables; fails the test when there is none. */
export function configOf(variables: Record<string, string>): Config {
  const result = configFromEnvironment(variables);
  if (!result.ok) throw new Error(JSON.stringify(result.mistakes));
  return result.config;
}

/** `upstream:model` of every route in order, or null. */
export function routesOf(config: Config, name: string): string[] | null {
  return resolveModel(config, name)?.routes.map((route) => `${route.upstream}:${route.model}`) ?? null;
}

/** Names that `GET /v1/models` would show. */
export function listed(config: Config): string[] {
  return [...config.models.values()].filter((model) => model.isListed).map((model) => model.name);
}

export const GUIDE: Record<string, string> = {
  ACTIVE_PROVIDER: "holysheep",
  HOLYSHEEP_BASE_URL: "https://api.holysheep.ai/v1",
  HOLYSHEEP_API_KEY: KEY,
  FALLBACK_BASE_URL: "https://api.deepseek.com/v1",
  FALLBACK_API_KEY: "f-0123456789abcdef",
  ENABLE_HOLYSHEEP: "true",
};

/** `place | message` of every mistake. */
export function mistakesOf(variables: Record<string, string>): string[] {
  const result = configFromEnvironment(variables);
  return result.ok ? [] : result.mistakes.map(({ place, message }) => `${place} | ${message}`);
}
