/** A reconciliation as a table for people and as JSON for programs. */
import { formatUsd, nanos } from "@millrace/wire/money";
import type { Compared, Reconciliation, ReconciledLine } from "@millrace/policy/reconcile";
import { table } from "./table.ts";

export interface Reconciled {
  readonly upstream: string;
  readonly first: string;
  readonly last: string;
  readonly tolerancePpm: bigint;
  readonly result: Reconciliation;
  readonly notes: readonly string[];
}

/** In the table, and in JSON. */
const NAMES: Readonly<Record<Compared["what"], readonly [column: string, member: string]>> = {
  input: ["input", "input_tokens"],
  cachedInput: ["cached", "cached_input_tokens"],
  cacheWrite: ["written", "cache_write_tokens"],
  output: ["output", "output_tokens"],
  cost: ["cost", "cost"],
};
const VERDICTS: Readonly<Record<ReconciledLine["verdict"], string>> = {
  agrees: "agrees",
  differs: "DIFFERS",
  only_theirs: "ONLY THEIRS",
  only_ours: "ONLY OURS",
};
const ATTO_PER_NANO = 1_000_000_000n;

export function reconciliationJson({ upstream, first, last, tolerancePpm, ...rest }: Reconciled): object {
  const { lines, totals, agrees } = rest.result;
  return {
    upstream,
    from: first,
    to: last,
    tolerance: percentOf(tolerancePpm),
    agrees,
    lines: lines.map((line) => ({ day: line.day, upstream_model: line.model, ...lineJson(line) })),
    totals: lineJson(totals),
    notes: notesOf(rest),
  };
}

function lineJson({ verdict, compared, withoutUsage }: ReconciledLine): object {
  const numbers = compared.map((one) => [
    NAMES[one.what][1],
    {
      theirs: amountJson(one, one.theirs),
      ours: amountJson(one, one.ours),
      difference: amountJson(one, one.difference),
      percent: one.ppm === null ? null : percentOf(one.ppm),
      agrees: one.agrees,
    },
  ]);
  return { verdict, ...(Object.fromEntries(numbers) as object), without_usage: withoutUsage };
}

/** Money is text, as everywhere. */
function amountJson({ what }: Compared, amount: bigint): number | string {
  return what === "cost" ? usdOf(amount) : Number(amount);
}

export function reconciliationText({ upstream, first, last, tolerancePpm, ...rest }: Reconciled): string {
  const { lines, totals } = rest.result;
  const columns = totals.compared.flatMap(({ what }) => [NAMES[what][0], `${NAMES[what][0]}_ours`]);
  const rows = [...lines, totals].map((line) => ({
    day: line.day ?? "total",
    model: line.model ?? "",
    ...cellsOf(line),
    no_usage: line.withoutUsage,
    off: worstOf(line.compared),
    verdict: VERDICTS[line.verdict],
  }));
  const wrong = lines.filter(({ verdict }) => verdict !== "agrees").length;
  const summary = `${upstream}, ${first} to ${last}: ${lines.length - wrong} of ${lines.length} lines agree within ${percentOf(tolerancePpm)}%`;
  const notes = notesOf(rest).map((note) => `note: ${note}\n`);
  return `${table(["day", "model", ...columns, "no_usage", "off", "verdict"], rows)}${summary}\n${notes.join("")}`;
}

function cellsOf({ compared }: ReconciledLine): Record<string, string> {
  const cells = compared.flatMap((one): [string, string][] => {
    const [column] = NAMES[one.what];
    const shown = (amount: bigint): string => (one.what === "cost" ? usdOf(amount) : String(amount));
    return [
      [column, shown(one.theirs)],
      [`${column}_ours`, shown(one.ours)],
    ];
  });
  return Object.fromEntries(cells);
}

/** The number that differs most: `output -0.6%`. */
function worstOf(compared: readonly Compared[]): string {
  const off = compared.filter(({ difference }) => difference !== 0n);
  const worst = off.toSorted((a, b) => farther(a, b))[0];
  if (worst === undefined) return "-";
  const sign = worst.difference > 0n ? "+" : "";
  const much = worst.ppm === null ? `${sign}${worst.what === "cost" ? usdOf(worst.difference) : worst.difference}` : null;
  return `${NAMES[worst.what][0]} ${much ?? `${sign}${percentOf(worst.ppm ?? 0n)}%`}`;
}

/** A number that they have as 0 is off without a bound. */
function farther(a: Compared, b: Compared): number {
  const [left, right] = [a, b].map(({ ppm }) => (ppm === null ? Number.MAX_VALUE : Math.abs(Number(ppm))));
  return (right ?? 0) - (left ?? 0);
}

function notesOf({ result, notes }: Pick<Reconciled, "result" | "notes">): string[] {
  const { linesWithoutCost, totals } = result;
  return [
    ...notes,
    ...(linesWithoutCost === 0
      ? []
      : [`lines without cost, because what some attempt of theirs cost us is not known: ${linesWithoutCost}`]),
    ...(totals.withoutUsage === 0
      ? []
      : [`attempts that told no usage, so that our numbers lack what the provider may have billed for them: ${totals.withoutUsage}`]),
  ];
}

/** Millionths as percent: `0.5`, `-12.3456`. */
function percentOf(ppm: bigint): string {
  const size = (ppm < 0n ? -ppm : ppm).toString().padStart(5, "0");
  const fraction = size.slice(-4).replace(/0+$/, "");
  return `${ppm < 0n ? "-" : ""}${size.slice(0, -4)}${fraction === "" ? "" : `.${fraction}`}`;
}

/** 1e-18 USD, rounded half up to what money is written in. */
function usdOf(atto: bigint): string {
  const size = atto < 0n ? -atto : atto;
  const rounded = (size + ATTO_PER_NANO / 2n) / ATTO_PER_NANO;
  return formatUsd(nanos(atto < 0n ? -rounded : rounded));
}
