/**
 * Asks a relay what a dashboard would, as a process of its own: `node rows-asker.ts PORT NOW [REPEATS]`. Prints a line of JSON for
 * each question: its times in milliseconds, and how many lines the answer has.
 */
import { askAdmin } from "./arms.ts";
import { questionsAt } from "./rows-questions.ts";
import type { Question } from "./rows-questions.ts";

/** What a screen can show at most. */
const PAGES_MAX = 10;

const [port = "", now = "", repeats = "5"] = process.argv.slice(2);

async function ask({ path, pages }: Question): Promise<number> {
  let lines = 0;
  let cursor: string | null = null;
  for (let page = 0; page < (pages === "all" ? PAGES_MAX : 1); page++) {
    const response = await askAdmin(Number(port), cursor === null ? path : `${path}&cursor=${encodeURIComponent(cursor)}`);
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    const { data, next } = (await response.json()) as { data: unknown[]; next: string | null };
    lines += data.length;
    cursor = next;
    if (cursor === null) break;
  }
  return lines;
}

for (const question of questionsAt(Number(now))) {
  const ms: number[] = [];
  let lines = 0;
  for (let n = 0; n < Number(repeats); n++) {
    const startedAt = performance.now();
    lines = await ask(question);
    ms.push(performance.now() - startedAt);
  }
  console.log(JSON.stringify({ name: question.name, ms, lines }));
}
