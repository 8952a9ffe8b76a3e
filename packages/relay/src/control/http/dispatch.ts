/** Runs a route without a server: what the command does on a data directory. */
import type { Operations } from "../operations.ts";
import { COMMAND } from "../access/caller.ts";
import { Refusal } from "./refusal.ts";
import type { Method } from "./route.ts";
import { ROUTES } from "./routes.ts";

/** @param target path and query behind `/admin/api/`. @throws what a route refuses, a Refusal or a ZodError. */
export async function dispatch(operations: Operations, method: Method, target: string, body?: unknown): Promise<unknown> {
  const url = new URL(`http://millrace/admin/api/${target}`);
  const path = url.pathname.split("/");
  for (const route of ROUTES) {
    const id = route.method === method ? idIn(route.path.split("/"), path) : null;
    const query = Object.fromEntries(url.searchParams);
    if (id !== null) return route.run(operations, { caller: COMMAND, id, query, body, address: null, setHeader: () => undefined });
  }
  throw new Refusal("route_unknown", "There is nothing at this address.");
}

/** The text at the place of the route's id; empty if the route has no id, null if the paths differ. */
function idIn(route: readonly string[], path: readonly string[]): string | null {
  let id = "";
  const isSame =
    route.length === path.length && route.every((word, at) => (word === "{id}" ? (id = path[at] ?? "") !== "" : word === path[at]));
  return isSame ? decodeURIComponent(id) : null;
}
