/** Money in the ledger is an integer of nano-USD (1e-9 $): a bigint whose name ends in `Nanos`, in both databases a 64-bit integer. */

/** The largest amount one operation may name, and the largest balance: far from int64, so that no sum of two overflows. */
export const NANOS_MAX: bigint = 10n ** 18n;

export function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

export function greater(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** Whether an operation may carry it as an amount. */
export function isAmount(nanos: bigint): boolean {
  return nanos >= 0n && nanos <= NANOS_MAX;
}
