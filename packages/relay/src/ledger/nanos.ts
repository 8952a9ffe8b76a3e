/** Money is an integer of nano-USD (1e-9 $), here a bigint and in both databases a 64-bit integer. */
export type Nanos = bigint;

/** The largest amount one operation may name, and the largest balance: far from int64, so that no sum of two overflows. */
export const NANOS_MAX: Nanos = 10n ** 18n;

export function lesser(a: Nanos, b: Nanos): Nanos {
  return a < b ? a : b;
}

export function greater(a: Nanos, b: Nanos): Nanos {
  return a > b ? a : b;
}

/** Whether an operation may carry it as an amount. */
export function isAmount(nanos: Nanos): boolean {
  return nanos >= 0n && nanos <= NANOS_MAX;
}
