/** Dates, times of day and weekdays as they are written in prices. All of them UTC. */
import type { MoneyReading } from "@millrace/wire/money";
import { calendarNamed, calendarNames } from "./calendar.ts";

const DAYS: readonly string[] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const DAY_MINUTES = 1440;

const INSTANT = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z)?$/;

type Range = readonly [from: number, to: number];

/** `2026-09-10` (midnight UTC) or `2026-08-16T16:00:00Z` to Unix milliseconds. */
export function parseInstant(text: unknown): MoneyReading<number> {
  const time = typeof text === "string" && INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  const isReal = !Number.isNaN(time) && new Date(time).toISOString().startsWith(String(text).slice(0, 10));
  return isReal ? { value: time } : { fault: "must be a date such as 2026-09-10, or an instant such as 2026-08-16T16:00:00Z" };
}

/** `01:00-04:00, 06:00-10:00`; one that ends before it begins goes over midnight. */
export function parseUtcRanges(text: unknown): MoneyReading<readonly Range[]> {
  const ranges = typeof text === "string" ? text.split(",").map((part) => parseRange(part.trim())) : [null];
  const read = ranges.flatMap((range) => range ?? []);
  return ranges.includes(null) ? { fault: "must be times of day such as 01:00-04:00, 06:00-10:00" } : { value: read };
}

function parseRange(text: string): Range[] | null {
  const match = /^([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$/.exec(text);
  if (match === null) return null;
  const [from = 0, to = 0] = [0, 2].map((at) => Number(match[at + 1]) * 60 + Number(match[at + 2]));
  if (from >= DAY_MINUTES || to > DAY_MINUTES || from === to) return null;
  if (from < to) return [[from, to]];
  const evening: Range = [from, DAY_MINUTES];
  return to === 0 ? [evening] : [evening, [0, to]];
}

/** `mon-fri` or `sat, sun` to weekdays, 0 is Sunday. */
export function parseDays(text: unknown): MoneyReading<readonly number[]> {
  const parts = typeof text === "string" ? text.split(",").map((part) => parseDayRange(part.trim().toLowerCase())) : [null];
  if (parts.includes(null)) return { fault: "must be weekdays such as mon-fri or sat, sun" };
  return { value: [...new Set(parts.flatMap((part) => part ?? []))].toSorted((a, b) => a - b) };
}

function parseDayRange(text: string): number[] | null {
  const [first = "", last = first, ...more] = text.split("-");
  const from = DAYS.indexOf(first);
  const to = DAYS.indexOf(last);
  if (from < 0 || to < 0 || more.length > 0) return null;
  return Array.from({ length: ((to - from + 7) % 7) + 1 }, (_, at) => (from + at) % 7);
}

/** What is wrong with the name of a calendar. */
export function calendarsFault(name: unknown): string | null {
  return typeof name === "string" && calendarNamed(name) !== null ? null : `must be a calendar's name: ${calendarNames().join(", ")}`;
}
