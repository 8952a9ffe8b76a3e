/** How large a file and a function may be. Tables are data and no functions, so a long one costs nothing here but its file's lines. */
import type { SourceFacts } from "./source-facts.ts";

/** Lines of a file in `packages/*\/src`. */
const FILE_MAX = 350;
/** Lines of one function, from its first to its last. */
const FUNCTION_MAX = 60;
/** Lines of the median function; callbacks without a name are left out, for they would only flatter it. */
const MEDIAN_MAX = 8;

/** What is too large, one line for each. */
export function tooLarge(files: readonly SourceFacts[]): string[] {
  return [...files.flatMap(complaints), ...medianComplaint(files)];
}

function complaints({ path, lines, functions }: SourceFacts): string[] {
  const long = functions.filter((one) => one.lines > FUNCTION_MAX);
  return [
    ...(lines > FILE_MAX ? [`${path}: ${lines} lines, at most ${FILE_MAX} are allowed`] : []),
    ...long.map((one) => `${path}:${one.line}: ${one.name ?? "a callback"} has ${one.lines} lines, at most ${FUNCTION_MAX} are allowed`),
  ];
}

function medianComplaint(files: readonly SourceFacts[]): string[] {
  const sizes = files.flatMap(({ functions }) => functions.filter(({ name }) => name !== null).map(({ lines }) => lines));
  const median = sizes.toSorted((a, b) => a - b)[Math.floor(sizes.length / 2)] ?? 0;
  return median > MEDIAN_MAX ? [`the median function has ${median} lines, at most ${MEDIAN_MAX} are allowed`] : [];
}
