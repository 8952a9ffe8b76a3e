/** Durations and sizes as people write them. */
import { DAY_MS, HOUR_MS, MINUTE_MS } from "@millrace/wire/duration";

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: MINUTE_MS,
  h: HOUR_MS,
};

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** `5s`, `250ms`, `60m`, `1h`. */
export const DURATION_PATTERN: RegExp = /^\d{1,9}(ms|s|m|h)$/;

/** `64KiB`, `16MiB`. */
export const SIZE_PATTERN: RegExp = /^\d{1,9}(B|KiB|MiB|GiB)$/;

const DURATION_MS_MAX = DAY_MS;

const SIZE_BYTES_MAX = 4 * 1024 ** 3;

/** Milliseconds, or null if the text is not a duration of at most a day. */
export function parseDuration(text: string): number | null {
  const ms = DURATION_PATTERN.test(text) ? scale(text, DURATION_UNITS) : null;
  return ms !== null && ms <= DURATION_MS_MAX ? ms : null;
}

/** Bytes, or null if the text is not a size from one byte to 4 GiB. */
export function parseSize(text: string): number | null {
  const bytes = SIZE_PATTERN.test(text) ? scale(text, SIZE_UNITS) : null;
  return bytes !== null && bytes > 0 && bytes <= SIZE_BYTES_MAX ? bytes : null;
}

function scale(text: string, units: Readonly<Record<string, number>>): number | null {
  const unit = text.replace(/^\d+/, "");
  const factor = units[unit];
  return factor === undefined ? null : Number.parseInt(text, 10) * factor;
}
