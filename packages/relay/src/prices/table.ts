/** The cost table that comes with the relay: `prices/table.json`, read and with its aliases resolved. */
import { type PriceHistory, priceIn, type PriceVersion } from "@millrace/policy/price";
import { readWrittenPrice } from "@millrace/policy/price-written";
import { parseInstant } from "@millrace/policy/price-times";
import { withId } from "./id.ts";
import table from "./data/table.json" with { type: "json" };

/** Where rows were read, and when. */
interface PriceSource {
  readonly title: string;
  readonly date: string;
  /** Not seen on the maker's own page. */
  readonly isSecondHand: boolean;
}

interface TableRow {
  /** Name of a preset of the catalogue. */
  readonly provider: string;
  /** The name the provider knows. */
  readonly model: string;
  readonly source: string;
  readonly note?: string;
  /** As in a configuration file, in USD per million tokens. */
  readonly versions: readonly Readonly<Record<string, unknown>>[];
  /** From that date on, the name costs the same as another name. */
  readonly as?: { readonly model: string; readonly from: string };
}

/** Histories by provider, then by model. */
export type CostTable = ReadonlyMap<string, ReadonlyMap<string, PriceHistory>>;

const ROWS: readonly TableRow[] = table.rows;

/** Every row as it is written, with its source, for documents and for people who verify them. */
export function tableRows(): readonly (TableRow & { readonly readFrom: PriceSource })[] {
  const sources: Readonly<Record<string, PriceSource>> = table.sources;
  return ROWS.map((row) => {
    const readFrom = sources[row.source];
    if (readFrom === undefined) throw new Error(`the price table names no source ${row.source}`);
    return { ...row, readFrom };
  });
}

/** The shipped costs. Each call reads the table again; a relay calls it once. */
export function shippedCosts(): CostTable {
  const costs = new Map<string, Map<string, PriceHistory>>();
  for (const row of ROWS) {
    const models = costs.get(row.provider) ?? new Map<string, PriceHistory>();
    costs.set(row.provider, models.set(row.model, historyOf(row)));
  }
  return costs;
}

function historyOf(row: TableRow): PriceHistory {
  const scope = `${row.provider}/${row.model}`;
  const own = row.versions.map((written) => versionOf(written, scope));
  return row.as === undefined ? own : [...own, ...aliased(row.as, row.provider).map((version) => withId(scope, version))];
}

/** The other name's costs from that date on, beginning with the version in force then. */
function aliased({ model, from }: NonNullable<TableRow["as"]>, provider: string): PriceHistory {
  const other = ROWS.find((row) => row.provider === provider && row.model === model);
  const date = parseInstant(from);
  if (other === undefined || "fault" in date) throw new Error(`the price table has an alias of nothing: ${model} from ${from}`);
  const history = historyOf(other);
  const current = priceIn(history, date.value);
  const first = current === null ? [] : [{ ...current.version, effectiveFromMs: date.value }];
  return [...first, ...history.filter((version) => version.effectiveFromMs > date.value)];
}

function versionOf(written: Readonly<Record<string, unknown>>, scope: string): PriceVersion {
  const read = readWrittenPrice(written);
  if ("faults" in read) throw new Error(`the price table has a fault: ${scope} ${JSON.stringify(read.faults)}`);
  return withId(scope, read.price);
}
