/** Instants as JSON shows them. */

/** Milliseconds since 1970 as ISO 8601 in UTC; null stays null. */
export function isoOf(ms: number): string;
export function isoOf(ms: number | null): string | null;
export function isoOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
