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

/** The value of a JSON text; undefined, which is no JSON value, if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/**
 * The value of a JSON text. Numbers stay the text in which they were written and never become floats. Undefined if the text is not
 * JSON.
 * @param keep makes the value for a number from the number's text.
 */
export function parseKeepingNumbers(text: string, keep: (source: string) => unknown): unknown {
  const revive: Reviver = (_key, value, { source }) => (typeof value === "number" ? keep(source ?? String(value)) : value);
  try {
    return JSON.parse(text, revive as (key: string, value: unknown) => unknown) as unknown;
  } catch {
    return undefined;
  }
}
