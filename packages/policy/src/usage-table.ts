/** CSV (RFC 4180), JSON and JSON lines as rows of named texts. Numbers stay the text they were written in. */
import { isObject, parseKeepingNumbers } from "@millrace/wire/json-values";
import { columnName } from "./usage-columns.ts";

export interface UsageRow {
  /** For people: `line 3`. */
  readonly place: string;
  /** Empty and null values are left out. */
  readonly cells: ReadonlyMap<string, string>;
}

export interface UsageTable {
  /** Names as {@link columnName} makes them, in the order of the file. */
  readonly names: ReadonlySet<string>;
  /** Names that occur more than once. */
  readonly twice: ReadonlySet<string>;
  readonly rows: readonly UsageRow[];
}

/** A fault is worded to follow the file's name. */
export type TableReading = UsageTable | { readonly fault: string };

const BYTE_ORDER_MARK = "\uFEFF";
const SEPARATORS = [",", ";", "\t"];
/** Lists in lists: pages hold buckets, which hold results. */
const DEPTH_MAX = 6;

export function readUsageTable(text: string): TableReading {
  const content = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  if (content.trim() === "") return { fault: "is empty" };
  return /^\s*[{[]/.test(content) ? readJson(content) : readCsv(content);
}

interface CsvRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

function readCsv(text: string): TableReading {
  const heads = SEPARATORS.map((separator) => ({ separator, head: readRecord(text, 0, 1, separator) }));
  const widths = heads.map(({ head }) => ("fault" in head ? 0 : head.fields.length));
  const { separator = "," } = heads[widths.indexOf(Math.max(...widths))] ?? {};
  const records: CsvRecord[] = [];
  for (let at = 0, line = 1; at < text.length;) {
    const record = readRecord(text, at, line, separator);
    if ("fault" in record) return { fault: `${record.fault} (line ${line})` };
    if (record.fields.length > 1 || record.fields[0]?.trim() !== "") records.push({ line, fields: record.fields });
    at = record.end;
    line = record.nextLine;
  }
  const [head, ...rest] = records;
  if (head === undefined) return { fault: "is empty" };
  const names = head.fields.map(columnName);
  const torn = rest.find(({ fields }) => fields.length !== names.length);
  if (torn !== undefined)
    return { fault: `has ${torn.fields.length} fields in line ${torn.line} where its head has ${names.length}: is it cut or garbled?` };
  const rows = rest.map(({ line, fields }) => ({ place: `line ${line}`, cells: cellsOf(names, fields) }));
  return { names: new Set(names), twice: new Set(names.filter((name, at) => names.indexOf(name) !== at)), rows };
}

function cellsOf(names: readonly string[], fields: readonly string[]): Map<string, string> {
  const cells = names.map((name, at): [string, string] => [name, fields[at]?.trim() ?? ""]);
  return new Map(cells.filter(([name, value]) => name !== "" && value !== ""));
}

interface ReadRecord {
  readonly fields: readonly string[];
  readonly end: number;
  readonly nextLine: number;
}

function readRecord(text: string, start: number, line: number, separator: string): ReadRecord | { readonly fault: string } {
  const fields: string[] = [];
  for (let at = start; ;) {
    const field = text[at] === '"' ? readQuoted(text, at) : readBare(text, at, separator);
    if ("fault" in field) return field;
    fields.push(field.value);
    at = field.end;
    if (text[at] === separator) at++;
    else if (at >= text.length || text[at] === "\n" || text[at] === "\r") {
      const end = at + (text.startsWith("\r\n", at) ? 2 : 1);
      return { fields, end, nextLine: line + 1 + linesIn(fields) };
    } else return { fault: "has text right behind a quoted field" };
  }
}

type ReadField = { readonly value: string; readonly end: number } | { readonly fault: string };

function readQuoted(text: string, at: number): ReadField {
  for (let from = at + 1; ;) {
    const end = text.indexOf('"', from);
    if (end < 0) return { fault: "has a quoted field without an end: is it cut?" };
    if (text[end + 1] !== '"') return { value: text.slice(at + 1, end).replaceAll('""', '"'), end: end + 1 };
    from = end + 2;
  }
}

function readBare(text: string, at: number, separator: string): ReadField {
  let end = at;
  while (end < text.length && text[end] !== separator && text[end] !== "\n" && text[end] !== "\r") end++;
  const value = text.slice(at, end);
  return value.includes('"') ? { fault: "has a quotation mark within a field that is not quoted" } : { value, end };
}

function linesIn(fields: readonly string[]): number {
  return fields.reduce((sum, field) => sum + (field.match(/\r\n|\r|\n/g)?.length ?? 0), 0);
}

function readJson(text: string): TableReading {
  const whole = parseKeepingNumbers(text, asWritten);
  if (whole !== undefined) return tableOf([["", whole]]);
  const lines = text.split("\n").flatMap((line, at): [string, unknown][] => (line.trim() === "" ? [] : [[`line ${at + 1}, `, line]]));
  const parsed = lines.map(([place, line]): [string, unknown] => [place, parseKeepingNumbers(String(line), asWritten)]);
  if (parsed.length < 2 || parsed[0]?.[1] === undefined) return { fault: "is not valid JSON: is it cut?" };
  const torn = parsed.find(([, value]) => value === undefined);
  return torn === undefined ? tableOf(parsed) : { fault: `is not valid JSON (${torn[0].replace(", ", "")}): is it cut?` };
}

/** Numbers become their own text. */
function asWritten(source: string): string {
  return source;
}

/** The values collected on the way down a document. */
interface Gathering {
  readonly names: Set<string>;
  readonly rows: UsageRow[];
  /** True if the last page said that more follow. */
  hasMore: boolean;
  isTooDeep: boolean;
}

function tableOf(documents: readonly (readonly [place: string, value: unknown])[]): TableReading {
  const into: Gathering = { names: new Set(), rows: [], hasMore: false, isTooDeep: false };
  for (const [place, value] of documents) gather(value, new Map(), place, into, 0);
  if (into.hasMore) return { fault: "is one page of several (has_more): put all pages into it, one JSON document a line" };
  if (into.isTooDeep) return { fault: `has lists more than ${DEPTH_MAX} deep` };
  if (into.names.size === 0) return { fault: "has no rows" };
  return { names: into.names, twice: new Set(), rows: into.rows };
}

/** Rows are the innermost objects; the members around them, such as the time of a bucket, count for each row. */
function gather(value: unknown, outer: ReadonlyMap<string, string>, place: string, into: Gathering, depth: number): void {
  if (depth > DEPTH_MAX) into.isTooDeep = true;
  if (into.isTooDeep) return;
  if (Array.isArray(value)) {
    for (const one of value) gather(one, outer, place, into, depth + 1);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const object = value as Readonly<Record<string, unknown>>;
  const cells = new Map([...outer, ...scalarsOf(object, "")]);
  const lists = [object["data"], object["results"]].filter((list) => Array.isArray(list));
  if (Array.isArray(object["data"])) into.hasMore = object["has_more"] === true;
  for (const list of lists) gather(list, cells, place, into, depth + 1);
  if (lists.length > 0) return;
  for (const name of cells.keys()) into.names.add(name);
  into.rows.push({ place: `${place}row ${into.rows.length + 1}`, cells });
}

/** Members with a value; those of an inner object are named after both. */
function scalarsOf(object: Readonly<Record<string, unknown>>, before: string): [string, string][] {
  return Object.entries(object).flatMap(([key, value]): [string, string][] => {
    const name = columnName(before + key);
    if (typeof value === "string" || typeof value === "boolean") return value === "" ? [] : [[name, String(value).trim()]];
    return isObject(value) && before === "" ? scalarsOf(value, `${key}_`) : [];
  });
}
