/** Reads the price lists that a configuration names. Loaded when it names some. */
import { dirname, resolve } from "node:path";
import type { ImportFinding } from "../../prices/foreign.ts";
import { importedTable, importPrices } from "../../prices/import.ts";
import type { CostTable } from "../../prices/table.ts";
import type { Notes } from "../notes.ts";
import type { PriceList } from "../pricing.ts";

/** The text of a file, or the end of a sentence that says why it could not be read. */
type ReadText = (path: string) => Promise<{ readonly text: string } | { readonly fault: string }>;

const NAMES_MAX = 3;

/** The costs of every list; `configFile` is what their paths are relative to. A list without one usable row is a mistake. */
export async function readPriceLists(
  lists: readonly PriceList[],
  configFile: string,
  readText: ReadText,
  notes: Notes,
): Promise<CostTable[]> {
  const texts = await Promise.all(lists.map(({ file }) => readText(resolve(dirname(configFile), file))));
  return lists.flatMap((list, at) => {
    const read = texts[at] ?? { fault: "cannot be read" };
    if ("text" in read) return tableOf(list, read.text, notes);
    notes.mistakes.push({ place: list.place, message: `The price list ${read.fault}.` });
    return [];
  });
}

function tableOf({ file, place }: PriceList, text: string, notes: Notes): CostTable[] {
  const { rows, findings } = importPrices(text);
  if (rows.length === 0) {
    notes.mistakes.push({ place, message: `The price list has no usable row: ${findings[0]?.reason ?? "it is empty"}.` });
    return [];
  }
  notes.warnings.push(...summary(findings).map((sentence) => `${file}: ${sentence}`));
  return [importedTable(rows)];
}

/** One sentence for each reason, since a list may hold thousands of rows. */
function summary(findings: readonly ImportFinding[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { name, reason } of findings) byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  return [...byReason].map(([reason, names]) => {
    const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : "";
    return `${names.slice(0, NAMES_MAX).join(", ")}${more}: ${reason}.`;
  });
}
