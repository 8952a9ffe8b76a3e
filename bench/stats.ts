/** Order statistics of small samples. */

export interface Spread {
  readonly median: number;
  /** Distance between the first and the third quartile. */
  readonly iqr: number;
}

/** The value below which `share` of the sorted values lie; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), iqr: quantile(values, 0.75) - quantile(values, 0.25) };
}
