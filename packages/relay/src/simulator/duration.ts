const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };
const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1024,
  kb: 1024,
  m: 1_048_576,
  mb: 1_048_576,
};

/** Reads `80ms`, `2s`, `1.5s` or `1m` as milliseconds; undefined for any other text. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  const unit = UNIT_MS[match?.[2] ?? ""];
  return unit === undefined ? undefined : Number(match?.[1]) * unit;
}

/** Reads `60/s` or `60` as events a second; undefined when it is neither. */
export function parseRatePerSecond(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(?:\/s)?$/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

/** Reads `1200`, `40kb` or `100mb` as bytes; undefined for any other text. */
export function parseByteCount(text: string): number | undefined {
  const match = /^(\d{1,12})(kb?|mb?|)$/i.exec(text);
  const unit = UNIT_BYTES[match?.[2]?.toLowerCase() ?? "?"];
  return unit === undefined ? undefined : Number(match?.[1]) * unit;
}
