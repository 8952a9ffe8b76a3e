/** A provider's usage export as tokens by UTC day and model. */
import { findColumns, namesOf, partOfType, USAGE_PARTS } from "./usage-columns.ts";
import type { UsageColumns, UsagePart, UsageRole } from "./usage-columns.ts";
import { readDay } from "./usage-day.ts";
import { readUsageTable } from "./usage-table.ts";
import type { UsageRow, UsageTable } from "./usage-table.ts";

/** Tokens as both sides count them: `input` is the whole prompt, of which the next two are parts. */
export const TOKEN_COUNTS = ["input", "cachedInput", "cacheWrite", "output"] as const;

export type TokenCount = (typeof TOKEN_COUNTS)[number];

export interface ExportLine {
  readonly day: string;
  readonly model: string;
  readonly tokens: Readonly<Record<TokenCount, bigint>>;
  /** Amount in 1e-18 USD. */
  readonly costAtto: bigint;
}

export interface UsageExport {
  /** One for each day and model, in that order. */
  readonly lines: readonly ExportLine[];
  /** The numbers that the file has; the others are 0 and mean nothing. */
  readonly counts: readonly TokenCount[];
  readonly hasCost: boolean;
  /** The parts of the file that were left out, for people. */
  readonly notes: readonly string[];
}

/** A fault is worded to follow the file's name. */
export type ExportReading = UsageExport | { readonly fault: string };

/** A row, or a sum of rows, before its parts are put together. A number is null if no row had it. */
type Sums = Record<UsagePart | "cost", bigint | null>;

interface Cell {
  readonly day: string;
  readonly model: string;
  readonly sums: Sums;
}

/** If each row has one kind of tokens, a row of this type counts something else. */
const NOT_TOKENS = /^(?:request_count|requests|num_model_requests)$/i;
const COST_PLACES = 18;
const NAMES_TOLD_MAX = 60;

export function readUsageExport(text: string): ExportReading {
  const table = readUsageTable(text);
  if ("fault" in table) return table;
  const columns = findColumns(table.names);
  const misfit = misfitOf(table, columns);
  if (misfit !== null) return { fault: misfit };
  if (table.rows.length === 0) return { fault: "has no rows" };
  const currencies = new Set(table.rows.map((row) => textIn(row, columns.currency)?.toUpperCase() ?? "USD"));
  const isInUsd = [...currencies].every((currency) => currency === "USD");
  const form: Form = { columns, isTyped: isTyped(columns), hasCost: columns.cost.length > 0 && isInUsd };
  const cells = new Map<string, Cell>();
  const otherTypes = new Set<string>();
  for (const row of table.rows) {
    const fault = addRow(row, form, cells, otherTypes);
    if (fault !== null) return { fault: `${fault} (${row.place})` };
  }
  return exportOf([...cells.values()], form, [
    ...(isInUsd || columns.cost.length === 0
      ? []
      : [`the file's cost is in ${[...currencies].join(" and ")}, not USD: it is not compared`]),
    ...(otherTypes.size === 0 ? [] : [`rows of the type ${[...otherTypes].join(", ")} are not compared`]),
  ]);
}

interface Form {
  readonly columns: UsageColumns;
  /** Each row is of one kind of tokens. */
  readonly isTyped: boolean;
  readonly hasCost: boolean;
}

function isTyped(columns: UsageColumns): boolean {
  return USAGE_PARTS.every((part) => columns[part].length === 0) && columns.type.length > 0 && columns.amount.length > 0;
}

/** Why the columns cannot be understood, with the names that would be accepted; null if they can. */
function misfitOf(table: UsageTable, columns: UsageColumns): string | null {
  const twice = Object.values(columns)
    .flat()
    .find((name) => table.twice.has(name));
  if (twice !== undefined) return `has two columns named ${twice}`;
  const hasTokens = [columns.output, columns.total, columns.uncached].some((names) => names.length > 0) || isTyped(columns);
  const isHalf = columns.uncached.length > 0 && columns.cached.length === 0 && columns.total.length === 0;
  const missing = [
    ...(columns.day.length > 0 ? [] : [`the day (${oneOf("day")})`]),
    ...(columns.model.length > 0 ? [] : [`the model (${oneOf("model")})`]),
    ...(hasTokens ? [] : [`the tokens (${oneOf("total", "uncached", "output")}, or type with amount)`]),
    ...(isHalf ? [`what was read from a cache (${oneOf("cached")})`] : []),
  ];
  if (missing.length === 0) return null;
  const names = [...table.names].filter((name) => name !== "").slice(0, NAMES_TOLD_MAX);
  return `has the columns ${names.join(", ")}, of which none tells ${missing.join(", nor ")}`;
}

function oneOf(...roles: readonly UsageRole[]): string {
  return `one of ${roles.flatMap(namesOf).join(", ")}`;
}

function textIn(row: UsageRow, names: readonly string[]): string | undefined {
  return names[0] === undefined ? undefined : row.cells.get(names[0]);
}

/** Adds a row to the sums of its day and model. @returns what is wrong with it, or null. */
function addRow(row: UsageRow, form: Form, cells: Map<string, Cell>, otherTypes: Set<string>): string | null {
  const { columns } = form;
  const sums = form.isTyped ? typedSums(row, form, otherTypes) : wideSums(row, form);
  if ("fault" in sums) return sums.fault;
  const day = readDay(textIn(row, columns.day) ?? "", textIn(row, columns.end));
  if ("fault" in day) return day.fault;
  const model = textIn(row, columns.model);
  if (model === undefined) {
    const isNothing = Object.values(sums).every((sum) => sum === null || sum === 0n);
    return isNothing ? null : "has tokens of no model: ask for the usage by model";
  }
  const id = `${day.day} ${model}`;
  let cell = cells.get(id);
  if (cell === undefined) cells.set(id, (cell = { day: day.day, model, sums: nothing() }));
  for (const [part, amount] of Object.entries(sums) as [keyof Sums, bigint | null][])
    if (amount !== null) cell.sums[part] = (cell.sums[part] ?? 0n) + amount;
  return null;
}

function nothing(): Sums {
  return { total: null, uncached: null, cached: null, cacheWrite: null, output: null, cost: null };
}

type SumsReading = Sums | { readonly fault: string };

function wideSums(row: UsageRow, form: Form): SumsReading {
  const sums = nothing();
  for (const part of USAGE_PARTS) {
    for (const name of form.columns[part]) {
      const text = row.cells.get(name);
      const count = text === undefined ? null : countOf(text);
      if (count === undefined) return { fault: `has no whole number as ${name}: ${String(text).slice(0, 40)}` };
      if (count !== null) sums[part] = (sums[part] ?? 0n) + count;
    }
  }
  return withCost(sums, row, form);
}

function typedSums(row: UsageRow, form: Form, otherTypes: Set<string>): SumsReading {
  const type = textIn(row, form.columns.type) ?? "";
  const part = partOfType(type);
  if (part === null && !NOT_TOKENS.test(type)) otherTypes.add(type === "" ? '""' : type.slice(0, 40));
  if (part === null) return withCost(nothing(), row, form);
  const text = textIn(row, form.columns.amount) ?? "";
  const count = countOf(text);
  if (count === undefined) return { fault: `has no whole number as its amount: ${text.slice(0, 40)}` };
  return withCost({ ...nothing(), [part]: count }, row, form);
}

function withCost(sums: Sums, row: UsageRow, form: Form): SumsReading {
  const text = form.hasCost ? textIn(row, form.columns.cost) : undefined;
  if (text === undefined) return sums;
  const cost = attoOf(text);
  return cost === null ? { fault: `has no decimal number as its cost: ${text.slice(0, 40)}` } : { ...sums, cost };
}

/** `1200`, also as programs for tables write it: `1200.0`. */
function countOf(text: string): bigint | undefined {
  const [, digits] = /^(\d{1,18})(?:\.0+)?$/.exec(text) ?? [];
  return digits === undefined ? undefined : BigInt(digits);
}

/** Decimal text in USD as 1e-18 USD. Further digits are cut: they are noise of floating-point numbers. */
function attoOf(text: string): bigint | null {
  const [, sign, whole = "", fraction = "", exponent = "0"] =
    /^([+-]?)(\d{1,18})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text) ?? [];
  if (sign === undefined) return null;
  const places = COST_PLACES - fraction.length + Number(exponent);
  const digits = BigInt(whole + fraction);
  const atto = places >= 0 ? digits * 10n ** BigInt(places) : digits / 10n ** BigInt(-places);
  return sign === "-" ? -atto : atto;
}

function exportOf(cells: readonly Cell[], form: Form, notes: readonly string[]): ExportReading {
  const lines: ExportLine[] = [];
  for (const { day, model, sums } of cells) {
    const { cached, cacheWrite, output, cost } = sums;
    const input = inputOf(sums);
    if (typeof input === "string") return { fault: `${input} (${day}, ${model})` };
    lines.push({
      day,
      model,
      tokens: { input, cachedInput: cached ?? 0n, cacheWrite: cacheWrite ?? 0n, output: output ?? 0n },
      costAtto: cost ?? 0n,
    });
  }
  const byPlace = (a: ExportLine, b: ExportLine): number => (`${a.day} ${a.model}` < `${b.day} ${b.model}` ? -1 : 1);
  return { lines: lines.toSorted(byPlace), counts: countsOf(cells, form), hasCost: form.hasCost, notes };
}

/**
 * The counts that a file has, by its columns and not by their content. A missing value then counts as 0, so that a file whose end
 * is missing never looks whole.
 */
function countsOf(cells: readonly Cell[], { columns, isTyped: isByType }: Form): TokenCount[] {
  const has = (part: UsagePart): boolean => columns[part].length > 0 || cells.some(({ sums }) => sums[part] !== null);
  const isTold: Readonly<Record<TokenCount, boolean>> = {
    input: isByType || has("total") || has("uncached"),
    // An export that separates uncached input would report cached input, too.
    cachedInput: has("cached") || has("uncached"),
    cacheWrite: has("cacheWrite"),
    output: isByType || has("output"),
  };
  return TOKEN_COUNTS.filter((count) => isTold[count]);
}

/** The whole prompt, or what is wrong with its parts. Some exports include cache writes in `uncached`, and some do not. */
function inputOf({ total, uncached, cached, cacheWrite }: Sums): bigint | string {
  const beside = (cached ?? 0n) + (cacheWrite ?? 0n);
  if (total === null) return (uncached ?? 0n) + beside;
  if (beside > total)
    return "has an input that is smaller than its cached part: if the file leaves cached tokens out of its input, name that column uncached_input_tokens";
  if (uncached !== null && uncached + beside !== total && uncached + (cached ?? 0n) !== total)
    return "has an input that is not the sum of its parts";
  return total;
}
