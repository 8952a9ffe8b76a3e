/** Calendar windows of budgets, in UTC. A new window is a new row, so nothing ever has to be reset. */
import { DAY_MS } from "@millrace/wire/duration";

export type Period = "day" | "week" | "month" | "total";

export interface Window {
  readonly startMs: number;
  /** Null for `total`, which never starts anew. */
  readonly endMs: number | null;
}

/** 1970-01-05, the first Monday of the epoch. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** The window of `period` that holds the instant. Weeks begin on Monday. */
export function windowAt(period: Period, nowMs: number): Window {
  switch (period) {
    case "day":
      return stretch(0, DAY_MS, nowMs);
    case "week":
      return stretch(FIRST_MONDAY_MS, 7 * DAY_MS, nowMs);
    case "month": {
      const now = new Date(nowMs);
      const year = now.getUTCFullYear();
      const month = now.getUTCMonth();
      return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
    }
    case "total":
      return { startMs: 0, endMs: null };
  }
}

function stretch(anchorMs: number, lengthMs: number, nowMs: number): Window {
  const startMs = anchorMs + Math.floor((nowMs - anchorMs) / lengthMs) * lengthMs;
  return { startMs, endMs: startMs + lengthMs };
}
