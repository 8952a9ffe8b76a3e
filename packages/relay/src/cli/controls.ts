/** The control API as commands use it, wherever it runs. */
import type { Command } from "commander";

/** An answer as the control API shows it. */
export type Shown = Readonly<Record<string, unknown>>;

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** The routes of the control API, wherever they run. */
export interface Controls {
  /** @param target path and query behind `/admin/api/`. @throws with a sentence for people. */
  call(method: Method, target: string, body?: object): Promise<Shown>;
}

/** Options that every such command has. */
export interface Where {
  readonly data?: string;
  readonly json?: boolean;
}

export function withOptions(command: Command): Command {
  return command.option("--data <dir>", "data directory (./data)").option("--json", "print JSON");
}

/** The address of one thing: `accounts/acc_1/balance`. */
export function one(kind: string, id: string, more = ""): string {
  return `${kind}/${encodeURIComponent(id)}${more}`;
}

/** The query string; members that are undefined are left out. */
export function queryOf(wish: Readonly<Record<string, string | number | undefined>>): string {
  const said = Object.entries(wish).filter(([, value]) => value !== undefined);
  return new URLSearchParams(said.map(([name, value]): [string, string] => [name, String(value)])).toString();
}

interface Page {
  readonly data: readonly Shown[];
  readonly next: string | null;
}

/** Reads a list page by page: every row, or at most `most` rows. */
export async function listAll(controls: Controls, path: string, wish: Parameters<typeof queryOf>[0] = {}, most = Infinity): Promise<Page> {
  const data: Shown[] = [];
  for (let cursor: string | undefined; ;) {
    const limit = Math.min(500, most - data.length);
    const page = (await controls.call("GET", `${path}?${queryOf({ ...wish, limit, cursor })}`)) as unknown as Page;
    data.push(...page.data);
    if (page.next === null || data.length >= most) return { data, next: page.next };
    cursor = page.next;
  }
}

/** Prints an answer as JSON or as text. */
export function print(given: Where, json: unknown, text: string): void {
  process.stdout.write(given.json === true ? `${JSON.stringify(json)}\n` : text);
}
