/** The UTC day that a row of a usage export is about. */
import { DAY_MS } from "@millrace/wire/duration";

export type DayReading = { readonly day: string } | { readonly fault: string };

const INSTANT = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?$/i;

/**
 * Takes a date as it is written. An instant without a zone is in UTC. A span from one instant to another must be within one UTC day,
 * because one number for the tokens of two days cannot be split.
 */
export function readDay(start: string, end: string | undefined): DayReading {
  const date = dateOf(start);
  if (date !== null) return { day: date };
  const from = instantOf(start);
  if (from === null) return { fault: `has no date or time that is known: ${start.slice(0, 40)}` };
  const to = end === undefined ? null : instantOf(end);
  const midnight = from.ms - (from.ms % DAY_MS);
  const isForeignDay = to === null ? from.isForeignMidnight : to.ms > midnight + DAY_MS;
  if (isForeignDay) return { fault: `is about more than one UTC day (from ${start.slice(0, 40)}): export it by UTC days, or by hours` };
  return { day: dayOf(midnight) };
}

/** `2026-11-22` of milliseconds since 1970. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** `2026-11-22` or `20261122`, if there is such a day. */
export function dateOf(text: string): string | null {
  const [, year, month, day] = /^(\d{4})-?(\d{2})-?(\d{2})$/.exec(text) ?? [];
  if (year === undefined) return null;
  const ms = Date.parse(`${year}-${month}-${day}`);
  return !Number.isNaN(ms) && dayOf(ms) === `${year}-${month}-${day}` ? dayOf(ms) : null;
}

interface Instant {
  readonly ms: number;
  /** Midnight in another zone than UTC, at which a day of that zone begins. */
  readonly isForeignMidnight: boolean;
}

function instantOf(text: string): Instant | null {
  if (/^\d{10}(?:\.\d+)?$/.test(text)) return { ms: Number.parseInt(text, 10) * 1000, isForeignMidnight: false };
  if (/^\d{13}$/.test(text)) return { ms: Number(text), isForeignMidnight: false };
  const [, date, time, seconds = ":00", zone = "Z"] = INSTANT.exec(text) ?? [];
  if (date === undefined || time === undefined) return null;
  const isUtc = /^(?:Z|UTC|[+-]00:?00)$/i.test(zone);
  const ms = Date.parse(`${date}T${time}${seconds}${isUtc ? "Z" : zone}`);
  return Number.isNaN(ms) ? null : { ms, isForeignMidnight: !isUtc && time === "00:00" && ms % DAY_MS !== 0 };
}
