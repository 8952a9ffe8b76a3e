/** When the relay may call an upstream again that asked it to wait. All times are milliseconds of one monotonic clock. */
import { HOUR_MS } from "@millrace/wire/duration";

/** The longest `Retry-After` of an upstream that the relay obeys; a hint of days would take the upstream out for good. */
export const COOLDOWN_MS_MAX: number = HOUR_MS;
/** Used when a throttling answer names no time. */
export const THROTTLED_DEFAULT_MS: number = 1_000;
/** A refused secret or an empty account needs a person; one request a minute finds out when it works again. */
export const CREDENTIAL_COOLDOWN_MS: number = 60_000;

/** The later of the present deadline and the new one: a second hint never shortens the first. */
export function extendCooldown(until: number, now: number, forMs: number): number {
  return Math.max(until, now + Math.min(Math.max(forMs, 0), COOLDOWN_MS_MAX));
}

/**
 * Reads `retry-after-ms`, else `retry-after` (seconds, may be a fraction, or an HTTP date).
 * @param wallNow wall-clock milliseconds, for the date form.
 * @returns milliseconds from now, or null when the headers say nothing usable.
 */
export function retryAfterMs(headers: Readonly<Record<string, string | undefined>>, wallNow: number): number | null {
  const ms = decimal(headers["retry-after-ms"]);
  if (ms !== null) return ms;
  const text = headers["retry-after"];
  const seconds = decimal(text);
  if (seconds !== null) return seconds * 1000;
  if (text === undefined || !/^\s*(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,/.test(text)) return null;
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, date - wallNow);
}

function decimal(text: string | undefined): number | null {
  if (text === undefined || !/^\s*\d{1,12}(\.\d{1,6})?\s*$/.test(text)) return null;
  return Number(text);
}
