/** Circles of imports. A type counts like a value: two files that need each other are one thing, or hold something of a third. */
import { posix } from "node:path";
import type { SourceFacts } from "./source-facts.ts";

type Graph = ReadonlyMap<string, readonly string[]>;

/** The shortest way round for each knot of files that import each other, each way beginning and ending with the same file. */
export function circlesIn(files: readonly SourceFacts[]): string[][] {
  const graph = graphOf(files);
  const told = new Set<string>();
  return [...graph.keys()].flatMap((start) => {
    const way = told.has(start) ? null : wayBack(graph, start);
    for (const path of way ?? []) told.add(path);
    return way === null ? [] : [way];
  });
}

function graphOf(files: readonly SourceFacts[]): Graph {
  const known = new Set(files.map(({ path }) => path));
  return new Map(
    files.map(({ path, imports }) => {
      const targets = imports.filter((from) => from.startsWith(".")).map((from) => posix.join(posix.dirname(path), from));
      return [path, targets.filter((target) => known.has(target))];
    }),
  );
}

/** The shortest way along imports from a file back to itself, or null. */
function wayBack(graph: Graph, start: string): string[] | null {
  const cameFrom = new Map<string, string>();
  const waiting = [start];
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
    for (const target of graph.get(file) ?? []) {
      if (target === start) return [...wayTo(file, start, cameFrom), start];
      if (cameFrom.has(target)) continue;
      cameFrom.set(target, file);
      waiting.push(target);
    }
  return null;
}

function wayTo(file: string, start: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const before = cameFrom.get(file);
  return file === start || before === undefined ? [file] : [...wayTo(before, start, cameFrom), file];
}
