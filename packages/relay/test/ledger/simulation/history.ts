/** One history: a script, what is planted in it, and what is wrong in the end. */
import { errorText } from "../../../src/basics/error-text.ts";
import { word } from "../operations.ts";
import { MemoryBooks } from "./books.ts";
import type { Books, BooksPlant, Commit } from "./books.ts";
import type { RelayPlant } from "./relay.ts";
import { scriptOf, shortest, shownScript } from "./script.ts";
import type { Step } from "./script.ts";
import type { SqlitePlant, SqliteTemplate } from "./sqlite-books.ts";
import { World } from "./world.ts";

export interface Plant {
  readonly books?: BooksPlant;
  readonly relay?: RelayPlant;
}

type OnCommit = (commit: Commit) => void;

/** What is wrong after a script was done and everybody came back; empty when nothing is. */
export function breachesOf(script: readonly Step[], plant: Plant = {}, onCommit: OnCommit = () => undefined): readonly string[] {
  const made = (judge: OnCommit): Books => new MemoryBooks(plant.books ?? {}, (commit) => (judge(commit), onCommit(commit)));
  return endOf(script, made, plant.relay ?? {});
}

/** The same in SQLite. */
export function breachesInSqlite(script: readonly Step[], template: SqliteTemplate, plant: SqlitePlant = {}): readonly string[] {
  let books: ReturnType<SqliteTemplate["open"]> | null = null;
  const breaches = endOf(script, (judge) => (books = template.open("history", judge, plant)), {});
  const opened = books as ReturnType<SqliteTemplate["open"]> | null;
  const inRows = opened?.breaches() ?? [];
  opened?.close();
  return [...breaches, ...inRows];
}

function endOf(script: readonly Step[], books: (judge: OnCommit) => Books, relay: RelayPlant): readonly string[] {
  try {
    const world = new World(books, relay);
    world.run(script);
    return world.end();
  } catch (error) {
    return [`nothing throws: ${errorText(error)}`];
  }
}

/** Each kind of operation with what came of it, and how holds ended: what a history was about. */
export function eventsOf({ operations, results, changes }: Commit): string[] {
  const asked = operations.map((operation, at) => `${operation.kind}: ${word(results[at])}`);
  const ended = changes.holds.changed.filter(({ after }) => after.state !== "open");
  const ends = ended.map(({ after }) => `hold ${after.state}, ${after.chargedNanos === 0n ? "free" : "charged"}`);
  return [...asked, ...ends, ...changes.transfers.map(({ code }) => `transfer: ${code}`)];
}

/** The words that a failing history is told in: its seed, what is wrong, and the fewest steps that show it. */
export function report(seed: number, breaches: (script: readonly Step[]) => readonly string[]): string {
  const [first = ""] = breaches(scriptOf(seed));
  const rule = first.slice(0, first.indexOf(":"));
  const script = shortest(scriptOf(seed), (shorter) => breaches(shorter).some((breach) => breach.startsWith(rule)));
  return `MILLRACE_SEED=${seed} shows it again.\n${breaches(script).join("\n")}\n${shownScript(script)}`;
}
