/** The files of this checkout that are written by hand. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root: string = join(import.meta.dirname, "../..");

const LEFT_OUT: readonly string[] = ["node_modules", "dist", "data", ".git", ".venv", "__pycache__", "coverage"];

/** Paths from the root, of all files below a folder. */
export function filesBelow(folder = ""): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => !LEFT_OUT.includes(entry.name))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesBelow(path) : [path];
    });
}

export function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** The documents for people. */
export function documents(): string[] {
  return filesBelow().filter((path) => path.endsWith(".md") && !path.startsWith("fixtures/"));
}

/** Rows of all tables of a document, cells trimmed; heads and rulers are left out. */
export function tableRows(text: string): string[][] {
  const lines = text.split("\n");
  return lines
    .filter((line, at) => line.startsWith("|") && !/^\|[\s:|-]+\|$/.test(line) && !/^\|[\s:|-]+\|$/.test(lines[at + 1] ?? ""))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll("\\|", "|")),
    );
}

/** What stands in backticks. */
export function quoted(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
}

/** One section of a document, from its heading to the next of the same depth. */
export function section(text: string, heading: string): string {
  const depth = /^#+/.exec(heading)?.[0].length ?? 2;
  const after = text.split(`\n${heading}\n`)[1];
  if (after === undefined) throw new Error(`there is no heading "${heading}"`);
  return after.split(new RegExp(`\\n#{1,${depth}} `))[0] ?? "";
}
