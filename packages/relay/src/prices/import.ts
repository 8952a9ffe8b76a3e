/** Price lists that others publish, as costs. Numbers are read as the text they were written in, never as floats. */
import type { JsonObject } from "@millrace/wire/json-values";
import { parseKeepingNumbers } from "@millrace/wire/json-values";
import type { PriceHistory } from "@millrace/policy/price";
import { readWrittenPrice } from "@millrace/policy/price-written";
import { type ForeignRow, type ImportFinding, isMapping, NumberText } from "./foreign.ts";
import { withId } from "./id.ts";
import { readGenai } from "./import-genai.ts";
import { readLitellm } from "./import-litellm.ts";
import type { CostTable } from "./table.ts";
import names from "./data/foreign-names.json" with { type: "json" };

export interface ImportedRow {
  /** As our catalogue calls it, or as the list does when we do not know it. */
  readonly provider: string;
  readonly model: string;
  readonly history: PriceHistory;
}

export interface Import {
  readonly rows: readonly ImportedRow[];
  readonly findings: readonly ImportFinding[];
}

/** Reads either form, which it recognises by the text itself. Never throws. */
export function importPrices(text: string): Import {
  const data = parseKeepingNumbers(text, (source) => new NumberText(source));
  if (data === undefined) return { rows: [], findings: [{ name: "", reason: "is not valid JSON" }] };
  const findings: ImportFinding[] = [];
  const list = providerList(data);
  if (list === null && !isMapping(data)) return { rows: [], findings: [{ name: "", reason: "is no price list of a known form" }] };
  const foreign = list === null ? readLitellm(data as JsonObject, names.litellm, findings) : readGenai(list, names.genai, findings);
  const rows = new Map<string, ImportedRow>();
  for (const row of foreign) addRow(row, rows, findings);
  return { rows: [...rows.values()], findings };
}

/** The rows by provider and model. */
export function importedTable(rows: readonly ImportedRow[]): CostTable {
  const table = new Map<string, Map<string, PriceHistory>>();
  for (const { provider, model, history } of rows)
    table.set(provider, (table.get(provider) ?? new Map<string, PriceHistory>()).set(model, history));
  return table;
}

function providerList(data: unknown): readonly unknown[] | null {
  if (Array.isArray(data)) return data;
  return isMapping(data) && Array.isArray(data["providers"]) ? data["providers"] : null;
}

function addRow(row: ForeignRow, rows: Map<string, ImportedRow>, findings: ImportFinding[]): void {
  const name = `${row.provider}/${row.model}`;
  if (rows.has(name)) return void findings.push({ name, reason: "is there twice; the first is taken" });
  const history: PriceHistory[number][] = [];
  for (const written of row.versions) {
    const read = readWrittenPrice(written);
    if ("faults" in read) {
      const reasons = read.faults.map(({ path, fault }) => `${path.filter((step) => typeof step === "string").join(".")} ${fault}`);
      return void findings.push({ name, reason: `is left out: ${reasons.join("; ").trim()}` });
    }
    history.push(withId(name, read.price));
  }
  if (history.some((version, at) => version.effectiveFromMs <= (history[at - 1]?.effectiveFromMs ?? -1)))
    return void findings.push({ name, reason: "is left out: its dates do not ascend" });
  rows.set(name, { provider: row.provider, model: row.model, history });
}
