/** Checks that need more than one key. They accept data of any shape, so that they can run beside the schema's own checks. */
import { asObject, isObject } from "@millrace/wire/json-values";
import type { JsonObject } from "@millrace/wire/json-values";
import { genericPreset, presetNamed } from "../../provider/catalogue.ts";
import type { Preset } from "../../provider/preset.ts";
import { baseUrlFault, isLoopback, isOpenToReaders, presetOfUrl } from "../base-url.ts";
import type { Path } from "./document.ts";
import { limitFaults } from "./limits.ts";
import { pathId } from "./references.ts";
import { priceFaults } from "./prices.ts";
import { hint } from "../../basics/nearest.ts";
import { readUpstreamKey } from "../upstream-key.ts";

interface Finding {
  readonly path: Path;
  /** Worded to follow the path. */
  readonly fault: string;
}

export interface Findings {
  readonly faults: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** @param referring the paths whose text came from the environment. */
export function crossCheck(data: unknown, referring: ReadonlySet<string>): Findings {
  const root = mapping(data);
  const upstreams = mapping(root["upstreams"]);
  const entries = Object.entries(upstreams).filter(([, value]) => isObject(value));
  return {
    faults: [
      ...entries.flatMap(([name, value]) => upstreamFaults(name, mapping(value))),
      ...modelFaults(mapping(root["models"]), Object.keys(upstreams)),
      ...priceFaults(root),
      ...limitFaults(root["limits"], isObject(root["models"]) ? Object.keys(root["models"]) : null),
    ],
    warnings: entries.flatMap(([name, value]) => upstreamWarnings(name, mapping(value), referring)),
  };
}

/** The preset that an upstream of a file has; null when its `provider` is unknown. */
export function presetOfEntry(name: string, provider: unknown, baseUrl: unknown): Preset | null {
  if (provider !== undefined) return typeof provider === "string" ? presetNamed(provider) : null;
  const byHost = isUrl(baseUrl) ? presetOfUrl(baseUrl) : null;
  return byHost ?? presetNamed(name) ?? genericPreset;
}

function upstreamFaults(name: string, entry: JsonObject): Finding[] {
  const path = ["upstreams", name];
  const preset = presetOfEntry(name, entry["provider"], entry["base_url"]);
  const faults: Finding[] = [];
  if (preset !== null && preset.baseUrl === "" && entry["base_url"] === undefined) {
    faults.push({ path, fault: "has no base_url, and its provider has no address of its own" });
  }
  if (entry["api_key"] === undefined) {
    if (preset?.needsKey === true && !isOwnMachine(entry["base_url"])) faults.push({ path, fault: "has no api_key" });
  } else if (typeof entry["api_key"] === "string") {
    faults.push(...keyFaults([...path, "api_key"], entry["api_key"]));
  }
  return faults;
}

function keyFaults(path: Path, text: string): Finding[] {
  const key = readUpstreamKey(text);
  if (key.kind === "usable") return [];
  return [{ path, fault: key.kind === "placeholder" ? "is a placeholder; set the real key" : key.fault }];
}

function upstreamWarnings(name: string, entry: JsonObject, referring: ReadonlySet<string>): Finding[] {
  const warnings: Finding[] = [];
  const keyPath = ["upstreams", name, "api_key"];
  if (typeof entry["api_key"] === "string" && !referring.has(pathId(keyPath))) {
    warnings.push({
      path: keyPath,
      fault: 'is written into the file; better a reference such as "${PROVIDER_API_KEY}"',
    });
  }
  if (isUrl(entry["base_url"]) && isOpenToReaders(entry["base_url"])) {
    const path = ["upstreams", name, "base_url"];
    warnings.push({
      path,
      fault: "is http:// on a remote host: keys and prompts travel unencrypted",
    });
  }
  return warnings;
}

function modelFaults(models: JsonObject, upstreams: readonly string[]): Finding[] {
  return Object.entries(models).flatMap(([name, model]) => {
    const routes = mapping(model)["upstreams"];
    if (!Array.isArray(routes)) return [];
    return routes.flatMap((route: unknown, at) => routeFaults(["models", name, "upstreams", at, "upstream"], route, upstreams));
  });
}

function routeFaults(path: Path, route: unknown, upstreams: readonly string[]): Finding[] {
  const upstream = mapping(route)["upstream"];
  if (typeof upstream !== "string" || upstreams.includes(upstream)) return [];
  return [{ path, fault: `names no upstream of this file${hint(upstream, upstreams)}` }];
}

function isUrl(value: unknown): value is string {
  return typeof value === "string" && baseUrlFault(value) === null;
}

function isOwnMachine(baseUrl: unknown): boolean {
  return isUrl(baseUrl) && isLoopback(new URL(baseUrl).hostname);
}

function mapping(value: unknown): JsonObject {
  return asObject(value) ?? {};
}
