/** `millrace reconcile`. Exit codes: 0 all agrees, 1 something differs, 2 wrong usage, a file that cannot be understood too. */
import { DAY_MS } from "@millrace/wire/duration";
import { open } from "node:fs/promises";
import { reconcile } from "@millrace/policy/reconcile";
import type { RecordedLine } from "@millrace/policy/reconcile";
import { dateOf, dayOf } from "@millrace/policy/usage-day";
import { readUsageExport } from "@millrace/policy/usage-export";
import type { ExportLine, UsageExport } from "@millrace/policy/usage-export";
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { listAll, print, withOptions } from "./controls.ts";
import { withControls } from "./open-controls.ts";
import type { Controls, Shown, Where } from "./controls.ts";
import { fail } from "./fail.ts";
import { reconciliationJson, reconciliationText } from "./reconciliation-text.ts";
import type { Reconciled } from "./reconciliation-text.ts";

const FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Days asked for in one call. The relay computes these sums from rows, so a call must not ask for too many. */
const DAYS_AT_ONCE = 7;
const DAYS_MAX = 400;
const TOLERANCE_PPM = 5_000n;
const PPM_PER_PERCENT_DIGITS = 4;

interface ReconcileOptions extends Where {
  readonly upstream: string;
  /** In millionths. */
  readonly tolerance?: bigint;
  readonly from?: string;
  readonly to?: string;
  readonly model?: ReadonlyMap<string, string>;
}

export function addReconcileCommand(program: Command): void {
  withOptions(program.command("reconcile <file>").description("compare a provider's usage export with the relay's records"))
    .requiredOption("--upstream <name>", "the upstream that the export is about")
    .option("--tolerance <percent>", "how far the relay's numbers may differ from the provider's (0.5%)", tolerance)
    .option("--from <day>", "first UTC day, such as 2026-11-01 (the file's first)", utcDay)
    .option("--to <day>", "last UTC day (the file's last)", utcDay)
    .option("--model <a=b>", "count model a as b on both sides; may be given several times", sameModel)
    .action(async (file: string, given: ReconcileOptions) => {
      const told = await readFile(file);
      if ("fault" in told) return fail(`${file} ${told.fault}`, 2);
      const days = daysOf(told, given);
      if (days === null) return fail("the days end before they begin", 2);
      if (Date.parse(days.last) - Date.parse(days.first) >= DAYS_MAX * DAY_MS) return fail(`that is more than ${DAYS_MAX} days`, 2);
      return withControls(given, (controls) => compare(controls, told, days, given));
    });
}

function tolerance(text: string): bigint {
  const [, whole, fraction = ""] = /^(\d{1,3})(?:\.(\d{1,4}))?%$/.exec(text) ?? [];
  if (whole === undefined) throw new InvalidArgumentError("write it as 0.5%, with at most four digits after the point.");
  return BigInt(whole + fraction.padEnd(PPM_PER_PERCENT_DIGITS, "0"));
}

function utcDay(text: string): string {
  const day = dateOf(text);
  if (day === null) throw new InvalidArgumentError("write a day as 2026-11-01.");
  return day;
}

function sameModel(text: string, before: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const [, from, to] = /^([^=]+)=([^=]+)$/.exec(text) ?? [];
  if (from === undefined || to === undefined) throw new InvalidArgumentError("write it as name=name.");
  return new Map([...before, [from, to]]);
}

type FileReading = UsageExport | { readonly fault: string };

async function readFile(path: string): Promise<FileReading> {
  const bytes = await bytesOf(path);
  if (!Buffer.isBuffer(bytes)) return bytes;
  if (bytes.length > FILE_BYTES_MAX) return { fault: `is larger than ${FILE_BYTES_MAX} bytes: export fewer days at a time` };
  if (bytes.subarray(0, 4).equals(Buffer.from("PK\u0003\u0004")))
    return { fault: "is an archive or a workbook: unpack it, or save it as CSV" };
  try {
    return readUsageExport(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { fault: "is not text in UTF-8" };
  }
}

/** Reads at most one byte more than the limit. */
async function bytesOf(path: string): Promise<Buffer | { readonly fault: string }> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      return size > FILE_BYTES_MAX ? Buffer.alloc(FILE_BYTES_MAX + 1) : await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { fault: `cannot be read (${code})` };
  }
}

interface Days {
  readonly first: string;
  readonly last: string;
}

/** The days that the caller named, else the days of the file; null if there are none. */
function daysOf(told: UsageExport, { from, to }: ReconcileOptions): Days | null {
  const first = from ?? told.lines[0]?.day ?? to;
  const last = to ?? told.lines.at(-1)?.day ?? from;
  return first === undefined || last === undefined || first > last ? null : { first, last };
}

async function compare(controls: Controls, told: UsageExport, days: Days, given: ReconcileOptions): Promise<void> {
  const ours = await recordedOf(controls, given.upstream, days);
  const renamed = <T extends { readonly model: string }>(line: T): T => ({ ...line, model: given.model?.get(line.model) ?? line.model });
  const tolerancePpm = given.tolerance ?? TOLERANCE_PPM;
  const within = told.lines.filter(({ day }) => day >= days.first && day <= days.last);
  const result = reconcile({ ...told, lines: within.map(renamed) }, ours.map(renamed), tolerancePpm);
  const notes = [...told.notes, ...rangeNotes(told.lines, within, ours, days, given.upstream)];
  const reconciled: Reconciled = { upstream: given.upstream, ...days, tolerancePpm, result, notes };
  print(given, reconciliationJson(reconciled), reconciliationText(reconciled));
  if (!result.agrees) process.exitCode = 1;
}

async function recordedOf(controls: Controls, upstream: string, { first, last }: Days): Promise<RecordedLine[]> {
  const lines: RecordedLine[] = [];
  const endMs = Date.parse(last) + DAY_MS;
  for (let fromMs = Date.parse(first); fromMs < endMs; fromMs += DAYS_AT_ONCE * DAY_MS) {
    const toMs = Math.min(fromMs + DAYS_AT_ONCE * DAY_MS, endMs);
    const range = { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() };
    const { data } = await listAll(controls, "upstream-usage", { upstream, ...range });
    lines.push(...data.map(recordedLine));
  }
  return lines;
}

function recordedLine(shown: Shown): RecordedLine {
  const count = (name: string): bigint => BigInt(String(shown[name]));
  return {
    day: String(shown["day"]),
    model: String(shown["upstream_model"]),
    tokens: {
      input: count("input_tokens"),
      cachedInput: count("cached_input_tokens"),
      cacheWrite: count("cache_write_tokens"),
      output: count("output_tokens"),
    },
    costNanos: shown["cost_nanos"] === null ? null : count("cost_nanos"),
    withoutUsage: Number(shown["without_usage"]),
  };
}

function rangeNotes(
  all: readonly ExportLine[],
  within: readonly ExportLine[],
  ours: readonly RecordedLine[],
  { last }: Days,
  upstream: string,
): string[] {
  const outside = all.length - within.length;
  return [
    ...(outside === 0 ? [] : [`lines of other days in the file: ${outside}`]),
    ...(ours.length > 0 ? [] : [`nothing is recorded of an upstream ${upstream} in these days`]),
    ...(last < dayOf(Date.now()) ? [] : [`the day ${last} is not over`]),
  ];
}
