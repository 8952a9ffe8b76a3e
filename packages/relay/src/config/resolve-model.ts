/** From the name a client says to the upstreams that may answer. */
import type { Config, Model } from "./config.ts";
import { sameNameModel } from "./model-table.ts";

type Table = Pick<Config, "upstreams" | "models" | "takesAnyModel" | "modelPrefixes" | "switchedOff">;

/**
 * Finds the routes of a model name, or null. A configured name wins over `upstream/model`, that over a name's known
 * owner, and that over upstreams that take any name.
 */
export function resolveModel(config: Table, name: string): Model | null {
  if (name === "") return null;
  return config.models.get(name) ?? resolveAddressed(config, name) ?? resolveByPrefix(config, name) ?? resolveAny(config, name);
}

/** `upstream/model`: one upstream and no other, unless that one was switched off. */
function resolveAddressed(config: Table, name: string): Model | null {
  const slash = name.indexOf("/");
  const upstream = name.slice(0, Math.max(slash, 0));
  const model = name.slice(slash + 1);
  if (upstream === "" || model === "") return null;
  if (config.upstreams.has(upstream)) return sameNameModel(name, [upstream], model, false);
  if (config.switchedOff?.includes(upstream) !== true) return null;
  const instead = resolveModel(config, model);
  return instead === null ? null : { ...instead, name, isListed: false };
}

function resolveByPrefix(config: Table, name: string): Model | null {
  const prefix = config.modelPrefixes?.find(({ startsWith }) => name.startsWith(startsWith));
  return prefix === undefined ? null : sameNameModel(name, prefix.upstreams, name, false);
}

function resolveAny(config: Table, name: string): Model | null {
  return config.takesAnyModel.length === 0 ? null : sameNameModel(name, config.takesAnyModel, name, false);
}
