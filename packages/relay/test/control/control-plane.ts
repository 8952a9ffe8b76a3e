/** A control plane with everybody in it: each role's token, two accounts, and an object of each for every route. */
import { call } from "../support/call.ts";
import type { Answer, CallSettings } from "../support/call.ts";
import { ADMIN_TOKEN, startRelay } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

export type Json = Record<string, unknown>;

/** Headers of a page of the relay's own. */
export const OWN_PAGE = { "sec-fetch-site": "same-origin", "content-type": "application/json" } as const;

/** Sends one request of the control API. */
export interface ControlCall extends Omit<CallSettings, "path"> {
  readonly token?: string;
}

export interface ControlPlane {
  readonly relay: TestRelay;
  /** The owner's. */
  readonly token: string;
  /** @param path behind `/admin/api/`. */
  ask(method: string, path: string, settings?: ControlCall): Promise<Answer>;
  /** The same, by the owner, whose answer is good. */
  made(method: string, path: string, body?: unknown): Promise<Json>;
  /** Every row of a list, by pages of so many. */
  all(path: string, limit?: number): Promise<Json[]>;
  /** Signs in and gives the `Cookie` header. */
  cookie(token: string): Promise<string>;
  close(): Promise<void>;
}

export async function startControlPlane(setup: Partial<RelaySetup> = {}): Promise<ControlPlane> {
  const relay = await startRelay({ upstreams: { a: { simulator: { scenario: { text: "yes" } } } }, ...setup });
  const ask: ControlPlane["ask"] = (method, path, { token = ADMIN_TOKEN, body = null, ...rest } = {}) =>
    call({ port: relay.port, key: token }, { method, path: `/admin/api/${path}`, body, isAnonymous: token === "", ...rest });
  const made: ControlPlane["made"] = async (method, path, body) => {
    const answer = await ask(method, path, { body: body ?? null });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return jsonOf(answer);
  };
  const all: ControlPlane["all"] = async (path, limit = 500) => {
    const found: Json[] = [];
    for (let cursor = ""; ;) {
      const page = await made("GET", `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor}`);
      const data = dataOf(page);
      if (data.length > limit) throw new Error(`${path}: a page has ${data.length} rows`);
      found.push(...data);
      if (page["next"] === null) return found;
      cursor = `&cursor=${page["next"] as string}`;
    }
  };
  const cookie: ControlPlane["cookie"] = async (token) => {
    const answer = await ask("POST", "session", { token: "", body: { token } });
    return /^[^;]+/.exec(answer.headers["set-cookie"]?.[0] ?? "")?.[0] ?? "";
  };
  return { relay, token: ADMIN_TOKEN, ask, made, all, cookie, close: () => relay.close() };
}

export function jsonOf(answer: Answer): Json {
  return JSON.parse(answer.body) as Json;
}

/** The rows of a list. */
export function dataOf(json: Json): Json[] {
  return json["data"] as Json[];
}
