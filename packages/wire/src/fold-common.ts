import { asObject, parseJson } from "./json-values.ts";
import type { JsonObject } from "./json-values.ts";

/** The text as a JSON object; null when it is not JSON or another kind of value. */
export function parseObject(text: string): JsonObject | null {
  return asObject(parseJson(text));
}

/** The value if it is an array, else an empty one. */
export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value if it is a string, else an empty one: null and absent mean the same in every dialect. */
export function asString(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The value if it is a number, else 0. */
export function asCount(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** Whether there are characters and all of them are white space. An answer of no characters is not blank. */
export function isBlank(text: string): boolean {
  return text !== "" && text.trim() === "";
}

/** The newer usage over the older, key by key; null tells nothing. */
export function mergeUsage(older: JsonObject | null, newer: unknown): JsonObject | null {
  const update = asObject(newer);
  if (update === null) return older;
  const told = Object.entries(update).filter(([, value]) => value !== null);
  return { ...older, ...Object.fromEntries(told) };
}
