/** Parsed JSON whose form is not known. */

/** A parsed object whose members are not known. */
export interface JsonObject {
  readonly [key: string]: unknown;
}

/** True for an object: no list, not null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value if it is an object, else null. */
export function asObject(value: unknown): JsonObject | null {
  return isObject(value) ? value : null;
}

/** The value of a JSON text; undefined when it is none, which JSON itself cannot say. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/**
 * The value of a JSON text whose numbers stay the text they were written in, never a float; undefined when it is none.
 * @param keep makes of a number's text what stands for the number.
 */
export function parseKeepingNumbers(text: string, keep: (source: string) => unknown): unknown {
  const revive: Reviver = (_key, value, { source }) => (typeof value === "number" ? keep(source ?? String(value)) : value);
  try {
    return JSON.parse(text, revive as (key: string, value: unknown) => unknown) as unknown;
  } catch {
    return undefined;
  }
}
