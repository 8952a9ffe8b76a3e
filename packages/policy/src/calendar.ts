/** Public holidays by which prices differ, as data. Days are dates of the calendar's own place. */
import { DAY_MS } from "@millrace/wire/duration";

export interface HolidayCalendar {
  readonly id: string;
  /** How far its clock is ahead of UTC; without daylight saving. */
  readonly utcOffsetMinutes: number;
  readonly years: readonly CalendarYear[];
}

export interface CalendarYear {
  readonly year: number;
  /** The source of the days, and its date of publication. */
  readonly source: string;
  readonly published: string;
  /** First and last day of each holiday, `MM-DD`. */
  readonly holidays: readonly (readonly [name: string, from: string, to: string])[];
}

/**
 * Mainland China. The State Council publishes each year's days in November of the year before; those of 2027 were not published
 * when this was written. Weekends that are worked in exchange need no entry: they are still Saturdays and Sundays.
 */
const CHINA: HolidayCalendar = {
  id: "cn",
  utcOffsetMinutes: 480,
  years: [
    {
      year: 2026,
      source: "State Council of China, General Office, telegram 7 of 2025 (guobanfa mingdian [2025] 7)",
      published: "2025-11-04",
      holidays: [
        ["New Year", "01-01", "01-03"],
        ["Spring Festival", "02-15", "02-23"],
        ["Qingming", "04-04", "04-06"],
        ["Labour Day", "05-01", "05-05"],
        ["Dragon Boat", "06-19", "06-21"],
        ["Mid-Autumn", "09-25", "09-27"],
        ["National Day", "10-01", "10-07"],
      ],
    },
  ],
};

const CALENDARS: ReadonlyMap<string, HolidayCalendar> = new Map([[CHINA.id, CHINA]]);

/** The calendar of that name, or null. */
export function calendarNamed(id: string): HolidayCalendar | null {
  return CALENDARS.get(id) ?? null;
}

/** Names of all calendars. */
export function calendarNames(): string[] {
  return [...CALENDARS.keys()];
}

/** Whether the instant (Unix milliseconds) is on a holiday there. A year that the calendar does not know has no holidays. */
export function isHoliday(calendar: HolidayCalendar, instantMs: number): boolean {
  const { year, monthDay } = localDate(calendar, instantMs);
  const holidays = calendar.years.find((one) => one.year === year)?.holidays ?? [];
  return holidays.some(([, from, to]) => from <= monthDay && monthDay <= to);
}

/** Whether the calendar knows the holidays of that instant's year. */
export function isCovered(calendar: HolidayCalendar, instantMs: number): boolean {
  const { year } = localDate(calendar, instantMs);
  return calendar.years.some((one) => one.year === year);
}

function localDate(calendar: HolidayCalendar, instantMs: number): { readonly year: number; readonly monthDay: string } {
  const local = new Date(instantMs + calendar.utcOffsetMinutes * 60_000);
  return { year: local.getUTCFullYear(), monthDay: local.toISOString().slice(5, 10) };
}

/** Minutes since midnight UTC, and the weekday there: 0 is Sunday. */
export function utcClock(instantMs: number): { readonly minute: number; readonly weekday: number } {
  const days = Math.floor(instantMs / DAY_MS);
  const minute = Math.floor((instantMs - days * DAY_MS) / 60_000);
  return { minute, weekday: (((days + 4) % 7) + 7) % 7 };
}
