/** Compares what a provider billed with what the relay recorded, for each day and model. All amounts are integers. */
import type { ExportLine, TokenCount, UsageExport } from "./usage-export.ts";

/** What the relay knows of one day and upstream model. */
export interface RecordedLine {
  readonly day: string;
  readonly model: string;
  readonly tokens: Readonly<Record<TokenCount, bigint>>;
  /** Null if the cost of some attempt is not known. */
  readonly costNanos: bigint | null;
  /** Attempts that the upstream may have billed without telling us the usage. */
  readonly withoutUsage: number;
}

export type Verdict = "agrees" | "differs" | "only_theirs" | "only_ours";

/** One number of both sides. Costs are in 1e-18 USD. */
export interface Compared {
  readonly what: TokenCount | "cost";
  readonly theirs: bigint;
  readonly ours: bigint;
  /** Ours less theirs. */
  readonly difference: bigint;
  /** The difference in millionths of theirs, rounded; null if theirs is 0. */
  readonly ppm: bigint | null;
  readonly agrees: boolean;
}

export interface ReconciledLine {
  /** Null in the totals. */
  readonly day: string | null;
  readonly model: string | null;
  readonly verdict: Verdict;
  readonly compared: readonly Compared[];
  readonly withoutUsage: number;
}

export interface Reconciliation {
  /** By day, then by model. */
  readonly lines: readonly ReconciledLine[];
  readonly totals: ReconciledLine;
  /** True when every line agrees. */
  readonly agrees: boolean;
  /** Lines whose cost was left out because ours is not known. */
  readonly linesWithoutCost: number;
}

const ATTO_PER_NANO = 1_000_000_000n;
const MILLION = 1_000_000n;

interface Pair {
  readonly day: string;
  readonly model: string;
  readonly theirs: ExportLine[];
  readonly ours: RecordedLine[];
}

/** @param tolerancePpm millionths of theirs that ours may be off, either way. */
export function reconcile(
  told: Pick<UsageExport, "lines" | "counts" | "hasCost">,
  recorded: readonly RecordedLine[],
  tolerancePpm: bigint,
): Reconciliation {
  const lines = pairsOf(told.lines, recorded).map((pair) => lineOf(pair, told, tolerancePpm));
  return {
    lines,
    totals: totalsOf(lines, told, tolerancePpm),
    agrees: lines.every((line) => line.verdict === "agrees"),
    linesWithoutCost: told.hasCost ? lines.filter(({ compared }) => !compared.some(({ what }) => what === "cost")).length : 0,
  };
}

/** The same line may come several times, because two names may mean one model. */
function pairsOf(theirs: readonly ExportLine[], ours: readonly RecordedLine[]): Pair[] {
  const pairs = new Map<string, Pair>();
  const pairFor = ({ day, model }: { readonly day: string; readonly model: string }): Pair => {
    const id = `${day} ${model}`;
    let pair = pairs.get(id);
    if (pair === undefined) pairs.set(id, (pair = { day, model, theirs: [], ours: [] }));
    return pair;
  };
  for (const line of theirs) pairFor(line).theirs.push(line);
  for (const line of ours) pairFor(line).ours.push(line);
  return [...pairs.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair);
}

function lineOf({ day, model, theirs, ours }: Pair, told: Pick<UsageExport, "counts" | "hasCost">, ppm: bigint): ReconciledLine {
  const compared = told.counts.map((what) =>
    compare(
      what,
      theirs.map((line) => line.tokens[what]),
      ours.map((line) => line.tokens[what]),
      ppm,
    ),
  );
  const costs = ours.map((line) => line.costNanos);
  if (told.hasCost && !costs.includes(null)) {
    const atto = costs.map((cost) => (cost ?? 0n) * ATTO_PER_NANO);
    compared.push(
      compare(
        "cost",
        theirs.map((line) => line.costAtto),
        atto,
        ppm,
      ),
    );
  }
  const withoutUsage = ours.reduce((count, line) => count + line.withoutUsage, 0);
  return { day, model, verdict: verdictOf(compared), compared, withoutUsage };
}

function compare(what: Compared["what"], theirParts: readonly bigint[], ourParts: readonly bigint[], tolerancePpm: bigint): Compared {
  const theirs = sum(theirParts);
  const ours = sum(ourParts);
  const difference = ours - theirs;
  const size = abs(theirs);
  return {
    what,
    theirs,
    ours,
    difference,
    ppm: size === 0n ? null : rounded(difference * MILLION, size),
    agrees: abs(difference) * MILLION <= size * tolerancePpm,
  };
}

/** A side whose numbers are all zero counts as not having this line. */
function verdictOf(compared: readonly Compared[]): Verdict {
  if (compared.every(({ agrees }) => agrees)) return "agrees";
  if (compared.every(({ ours }) => ours === 0n)) return "only_theirs";
  return compared.every(({ theirs }) => theirs === 0n) ? "only_ours" : "differs";
}

function totalsOf(lines: readonly ReconciledLine[], told: Pick<UsageExport, "counts" | "hasCost">, ppm: bigint): ReconciledLine {
  const whats: readonly Compared["what"][] = told.hasCost ? [...told.counts, "cost"] : told.counts;
  const compared = whats.flatMap((what) => {
    const parts = lines.flatMap((line) => line.compared.filter((one) => one.what === what));
    const isKnown = parts.length > 0 || what !== "cost";
    return isKnown
      ? [
          compare(
            what,
            parts.map(({ theirs }) => theirs),
            parts.map(({ ours }) => ours),
            ppm,
          ),
        ]
      : [];
  });
  const withoutUsage = lines.reduce((count, line) => count + line.withoutUsage, 0);
  return { day: null, model: null, verdict: verdictOf(compared), compared, withoutUsage };
}

/** Half away from zero; the divisor is positive. */
function rounded(dividend: bigint, divisor: bigint): bigint {
  const quotient = (abs(dividend) * 2n + divisor) / (divisor * 2n);
  return dividend < 0n ? -quotient : quotient;
}

function sum(parts: readonly bigint[]): bigint {
  return parts.reduce((total, part) => total + part, 0n);
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}
