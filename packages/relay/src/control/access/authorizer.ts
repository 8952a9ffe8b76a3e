/** Checks every request to the control plane before its route runs: host, credential, table, role, origin. Denies by default. */
import type { IncomingMessage } from "node:http";
import type { Caller } from "./caller.ts";
import type { Authenticator } from "./authenticator.ts";
import { crossSiteFault, foreignPageFault } from "./origin.ts";
import { Refusal } from "../http/refusal.ts";
import type { ControlRoute } from "../http/route.ts";

export interface GateParts {
  /** True if the relay listens on loopback. Then `Host` must be a loopback name, so that no web page can reach the relay by a name of its own. */
  readonly isLoopback: boolean;
  /** The client's address, as far as the relay can trust it. */
  readonly addressOf: (request: IncomingMessage) => string;
}

/** The caller of an admitted request; null for a route that needs no credential. */
export type Admitted =
  | { readonly ok: true; readonly caller: Caller | null; readonly address: string }
  | { readonly ok: false; readonly refusal: Refusal };

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;

export class Authorizer {
  readonly #parts: GateParts;
  readonly #authenticator: Authenticator;
  /** The routes by the pattern of their address. */
  readonly #places: readonly { readonly pattern: RegExp; readonly routes: ReadonlyMap<string, ControlRoute> }[];

  constructor(routes: readonly ControlRoute[], authenticator: Authenticator, parts: GateParts) {
    this.#parts = parts;
    this.#authenticator = authenticator;
    this.#places = [...Map.groupBy(routes, (route) => route.path)].map(([path, here]) => ({
      pattern: patternOf(path),
      routes: new Map(here.map((route) => [route.method, route])),
    }));
  }

  /** Reads nothing but the head. */
  async admit(request: IncomingMessage, nowMs: number): Promise<Admitted> {
    const { host } = request.headers;
    const method = request.method ?? "";
    if (this.#parts.isLoopback && !LOOPBACK_HOST.test(host ?? ""))
      return no(new Refusal("misdirected_request", "The relay serves this address only under loopback names."));
    const path = /^[^?]*/.exec(request.url ?? "")?.[0] ?? "";
    const place = this.#places.find(({ pattern }) => pattern.test(path));
    const route = place?.routes.get(method);
    const address = this.#parts.addressOf(request);
    if (route?.roles === "anyone") return passed(request, null, address, foreignPageFault(request.headers));

    const caller = await this.#authenticator.identify(request, address, nowMs);
    if (caller instanceof Refusal) return no(caller);
    if (place === undefined) return no(new Refusal("route_unknown", "There is nothing at this address."));
    if (route === undefined) {
      const allow = [...place.routes.keys()].join(", ");
      return no(new Refusal("method_not_allowed", `This address accepts ${allow}.`, { allow }));
    }
    if (!mayUse(caller, route)) return no(new Refusal("role_not_allowed", `The role ${caller.role} may not do this.`));
    return passed(request, caller, address, caller.session === null ? null : crossSiteFault(method, request.headers));
  }
}

function mayUse(caller: Caller, route: ControlRoute): boolean {
  return route.roles !== "anyone" && route.roles.includes(caller.role);
}

/** An id is a word. Other text reaches no handler. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(".", String.raw`\.`).replace("{id}", String.raw`\w{1,64}`)}$`);
}

function no(refusal: Refusal): Admitted {
  return { ok: false, refusal };
}

function passed(request: IncomingMessage, caller: Caller | null, address: string, siteFault: string | null): Admitted {
  if (siteFault !== null) return no(new Refusal("cross_site", siteFault));
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    return no(new Refusal("unsupported_media_type", "The relay does not accept encoded request bodies."));
  return { ok: true, caller, address };
}
