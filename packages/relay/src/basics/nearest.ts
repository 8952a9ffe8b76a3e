/** "Did you mean ...?" */

const CLOSE_MATCHES_MAX = 3;
const NAME_CHARS_MAX = 64;

/** Known names that differ little from a wrong one, the nearest first, at most three. */
export function closeMatches(name: string, known: Iterable<string>): string[] {
  const wanted = name.slice(0, NAME_CHARS_MAX).toLowerCase();
  const allowed = Math.min(Math.ceil(wanted.length / 3), wanted.length - 1);
  const ranked: { readonly candidate: string; readonly distance: number }[] = [];
  for (const candidate of new Set(known)) {
    const distance = distanceTo(wanted, candidate.slice(0, NAME_CHARS_MAX).toLowerCase());
    if (distance <= allowed) ranked.push({ candidate, distance });
  }
  ranked.sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1));
  return ranked.slice(0, CLOSE_MATCHES_MAX).map((row) => row.candidate);
}

/** `; did you mean X?`, or nothing. */
export function hint(name: string, known: Iterable<string>): string {
  const [nearest] = closeMatches(name, known);
  return nearest === undefined ? "" : `; did you mean ${nearest}?`;
}

/** Levenshtein's edit distance; one whose beginning is the whole of the other counts as near. */
function distanceTo(wanted: string, candidate: string): number {
  const isBeginning = wanted.length >= 3 && candidate.startsWith(wanted);
  return isBeginning ? 1 : editDistance(wanted, candidate);
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) row = nextRow(row, a.charAt(i - 1), b, i);
  return row[b.length] ?? 0;
}

function nextRow(above: readonly number[], char: string, b: string, first: number): number[] {
  const row = [first];
  for (let j = 1; j <= b.length; j++) {
    const replaced = (above[j - 1] ?? 0) + (b.charAt(j - 1) === char ? 0 : 1);
    row.push(Math.min(replaced, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
  }
  return row;
}
