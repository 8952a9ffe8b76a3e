const STAMP = /@(\d+)@/;

/** The time now on the machine's monotonic clock, as text for a delta. */
export function stampNow(): string {
  return `@${process.hrtime.bigint()}@`;
}

/**
 * The send time in nanoseconds in a stamped delta (or a whole event); compare with `process.hrtime.bigint()` of
 * any process on the same machine. Undefined if there is no stamp.
 */
export function readStamp(text: string): bigint | undefined {
  const digits = STAMP.exec(text)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
}
