/**
 * `node scripts/house.ts [DIRECTORY]`, part of `npm run check`: no circles of imports, not even of types; no file and no function
 * beyond its size; no clock read in `policy`. What is wrong is told on standard output, and the exit code is 1.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { circlesIn } from "./circles.ts";
import { tooLarge } from "./sizes.ts";
import { factsOf, type SourceFacts } from "./source-facts.ts";

const root = process.argv[2] ?? join(import.meta.dirname, "..");
const SOURCES = /^packages\/[^/]+\/src\//;
const WRITTEN = ["packages", "test", "chaos", "bench", "scripts", "examples"];
const LEFT_OUT = /(?:^|\/)(?:node_modules|dist)\//;

function sourceFiles(): SourceFacts[] {
  return WRITTEN.filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => `${folder}/${path}`))
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts") && !LEFT_OUT.test(path))
    .toSorted()
    .map((path) => factsOf(path, readFileSync(join(root, path), "utf8")));
}

function clockReadsIn(files: readonly SourceFacts[]): string[] {
  return files
    .filter(({ path }) => path.startsWith("packages/policy/src/"))
    .flatMap(({ path, clockReads }) => clockReads.map((line) => `${path}:${line}: policy reads no clock; time is an argument`));
}

const files = sourceFiles();
const complaints = [
  ...circlesIn(files).map((way) => `imports go round: ${way.join(" -> ")}`),
  ...tooLarge(files.filter(({ path }) => SOURCES.test(path))),
  ...clockReadsIn(files),
];
for (const complaint of complaints) console.log(complaint);
process.exitCode = complaints.length === 0 ? 0 : 1;
