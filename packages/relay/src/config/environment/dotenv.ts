/** Reads a `.env` file: KEY=value lines. Node's own `parseEnv` cuts a value at `#` without a blank and reports nothing. */
import type { ConfigMistake } from "../config.ts";

export type Variables = Readonly<Record<string, string | undefined>>;

export interface DotenvResult {
  readonly variables: Record<string, string>;
  readonly mistakes: readonly ConfigMistake[];
}

type Line = { readonly name: string; readonly value: string } | { readonly fault: string } | null;

const ASSIGNMENT = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)$/s;

/** Reads the whole file; a mistake names its line and never repeats it. */
export function parseDotenv(text: string, file: string): DotenvResult {
  const variables: Record<string, string> = Object.create(null) as Record<string, string>;
  const mistakes: ConfigMistake[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\n|\r/)
    .entries()) {
    const line = parseLine(raw.trim());
    if (line === null) continue;
    if ("fault" in line) mistakes.push({ place: `${file}:${index + 1}:1`, message: line.fault });
    else variables[line.name] = line.value;
  }
  return { variables, mistakes };
}

function parseLine(line: string): Line {
  if (line === "" || line.startsWith("#")) return null;
  const match = ASSIGNMENT.exec(line);
  const name = match?.[1];
  if (name === undefined) return { fault: "Write NAME=value, or begin the line with # to make it a comment." };
  return parseValue(name, match?.[2] ?? "");
}

function parseValue(name: string, text: string): Line {
  const quote = text.charAt(0);
  if (quote !== '"' && quote !== "'" && quote !== "`") return { name, value: withoutComment(text) };
  const end = closingQuote(text, quote);
  if (end < 0)
    return {
      fault: `The value of ${name} begins with a quotation mark that is not closed on its line.`,
    };
  const rest = text.slice(end + 1).trim();
  if (rest !== "" && !rest.startsWith("#")) return { fault: `The value of ${name} goes on after its closing quotation mark.` };
  const inner = text.slice(1, end);
  return { name, value: quote === '"' ? unescape(inner) : inner };
}

/** A `#` begins a comment only after a blank: keys may hold one. */
function withoutComment(text: string): string {
  return text.replace(/(^|\s)#.*$/s, "").trim();
}

function closingQuote(text: string, quote: string): number {
  for (let at = 1; at < text.length; at++) {
    if (quote === '"' && text.charAt(at) === "\\") at++;
    else if (text.charAt(at) === quote) return at;
  }
  return -1;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  '"': '"',
  "\\": "\\",
  $: "$",
};

function unescape(text: string): string {
  return text.replace(/\\([nrt"\\$])/g, (_, char: string) => ESCAPES[char] ?? char);
}
