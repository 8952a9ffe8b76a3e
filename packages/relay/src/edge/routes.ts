/** The endpoints of the relay: which path and method leads where. */
import type { Endpoint } from "../provider/provider.ts";

export type EdgeRoute =
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  | { readonly kind: "models" }
  /** `infos` is the shape that some clients expect at `/user/balance`. */
  | { readonly kind: "balance"; readonly shape: "wallet" | "infos" }
  | { readonly kind: "model"; readonly id: string }
  /** The account's own view of one of its requests. */
  | { readonly kind: "request"; readonly id: string }
  | { readonly kind: "healthz" | "readyz" | "metrics" }
  | { readonly kind: "admin" };

export type RouteResult = { readonly ok: true; readonly route: EdgeRoute } | { readonly ok: false; readonly allow: string | null };

const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  "/chat/completions": "chat",
  "/completions": "completions",
  "/embeddings": "embeddings",
};
const PROBES: Readonly<Record<string, "healthz" | "readyz" | "metrics">> = {
  "/healthz": "healthz",
  "/readyz": "readyz",
  "/metrics": "metrics",
};

/** @param path without query. `allow` names the methods of a path that exists; null says that it does not. */
export function findRoute(method: string, path: string): RouteResult {
  if (path === "/admin" || path.startsWith("/admin/")) return { ok: true, route: { kind: "admin" } };
  const probe = Object.hasOwn(PROBES, path) ? PROBES[path] : undefined;
  if (probe !== undefined) return forMethods(method, ["GET", "HEAD"], { kind: probe });
  const bare = path.startsWith("/v1/") ? path.slice(3) : path;
  const endpoint = Object.hasOwn(ENDPOINTS, bare) ? ENDPOINTS[bare] : undefined;
  if (endpoint !== undefined) return forMethods(method, ["POST"], { kind: "endpoint", endpoint });
  if (bare === "/models") return forMethods(method, ["GET", "HEAD"], { kind: "models" });
  if (path === "/v1/balance") return forMethods(method, ["GET", "HEAD"], { kind: "balance", shape: "wallet" });
  if (bare === "/user/balance") return forMethods(method, ["GET", "HEAD"], { kind: "balance", shape: "infos" });
  if (bare.startsWith("/models/")) {
    const id = decode(bare.slice("/models/".length));
    if (id !== null && id !== "") return forMethods(method, ["GET", "HEAD"], { kind: "model", id });
  }
  const requestId = /^\/requests\/(\w{1,64})$/.exec(bare)?.[1];
  if (requestId !== undefined && path.startsWith("/v1/")) return forMethods(method, ["GET", "HEAD"], { kind: "request", id: requestId });
  return { ok: false, allow: null };
}

function forMethods(method: string, allowed: readonly string[], route: EdgeRoute): RouteResult {
  return allowed.includes(method) ? { ok: true, route } : { ok: false, allow: allowed.join(", ") };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
