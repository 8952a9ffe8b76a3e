/** Lengths of time in milliseconds, and how they are written for people. */

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
/** A UTC day; it knows no leap second. */
export const DAY_MS = 86_400_000;

/** As OpenAI writes it: `120ms`, `1s`, `6m0s`; rounded up. @param ms milliseconds, not below zero. */
export function durationText(ms: number): string {
  const whole = Math.ceil(ms);
  if (whole > 0 && whole < 1000) return `${whole}ms`;
  const seconds = Math.ceil(whole / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
