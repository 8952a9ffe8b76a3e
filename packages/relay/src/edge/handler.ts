/** Passes each request on: to a probe, to the control plane, or to the endpoints that need a key. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { admit } from "../admission/authorize.ts";
import type { Scope } from "../admission/authorize.ts";
import type { KeyRing } from "../admission/keys.ts";
import type { RefusedRequest } from "../chat/recorder.ts";
import { relayError } from "../chat/relay-error.ts";
import type { Snapshot } from "../chat/snapshot.ts";
import type { RequestFiles } from "../insight/request-file.ts";
import { authenticate, challengeOf } from "./authenticate.ts";
import { sendBalance } from "./balance.ts";
import type { CreditPort } from "./balance.ts";
import { handleEndpoint } from "./data-plane.ts";
import type { DataPlaneParts } from "./data-plane.ts";
import { findRoute } from "./routes.ts";
import type { EdgeRoute } from "./routes.ts";
import { sendModel, sendModels } from "./models.ts";
import { showStanding } from "./rate-limit.ts";
import { sendReceipt } from "./receipts.ts";
import { sendJson, sendText } from "./reply.ts";
import { readTarget } from "./request-target.ts";
import { addressOf, turnAway } from "./visit.ts";
import type { Visit } from "./visit.ts";

/** What the edge is built from. */
export interface EdgeParts extends DataPlaneParts {
  /** The configuration that holds now; a request takes it once, when it enters. */
  readonly snapshot: () => Snapshot;
  readonly keys: KeyRing;
  /** True while another relay may have made keys that are not known here. */
  readonly mayLackKeys: () => boolean;
  readonly credit: CreditPort;
  readonly files: RequestFiles;
  /** Why this relay takes no traffic, or null when it may. */
  readonly notReady: () => string | null;
  /** Only accounts that do not pay are served yet: another relay that ends still has the books. */
  readonly awaitsBooks: () => boolean;
  readonly metrics: () => string;
  readonly admin: (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void>;
  /** Told of each request that no upstream saw. */
  readonly onRefusal: (refusal: RefusedRequest) => void;
}

/** Handles one request to its end. */
export async function handle(request: IncomingMessage, response: ServerResponse, requestId: string, parts: EdgeParts): Promise<void> {
  const visit = visitOf(request, response, requestId, parts);
  if (parts.notReady() === "stopping") response.setHeader("connection", "close");
  const target = readTarget(request);
  // If a head can be read in two ways, it is unclear where the next request begins.
  if (!target.ok)
    return turnAway(visit, relayError(target.code, target.message), target.code === "invalid_request" ? { connection: "close" } : {});
  const found = findRoute(request.method ?? "", target.path);
  if (!found.ok) return turnAwayRoute(visit, found.allow);
  const { route } = found;
  switch (route.kind) {
    case "healthz":
      return sendJson(response, 200, { status: "ok" });
    case "readyz":
      return sendReadiness(response, parts);
    case "metrics":
      return sendText(response, 200, parts.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    case "admin":
      return parts.admin(request, response, requestId);
    default:
      return handleKeyed(visit, parts, route);
  }
}

function visitOf(request: IncomingMessage, response: ServerResponse, requestId: string, { snapshot, onRefusal }: EdgeParts): Visit {
  const receivedAt = performance.now();
  return { request, response, requestId, receivedAt, snapshot: snapshot(), onRefusal, key: null, endpoint: null, model: "" };
}

function turnAwayRoute(visit: Visit, allow: string | null): void {
  if (allow === null) return turnAway(visit, relayError("route_unknown", "There is nothing at this address. The endpoints are under /v1."));
  turnAway(visit, relayError("method_not_allowed", `This address accepts ${allow}.`), { allow });
}

function sendReadiness(response: ServerResponse, parts: EdgeParts): void {
  const reason = parts.notReady();
  sendJson(response, reason === null ? 200 : 503, { status: reason ?? "ready", ...(parts.awaitsBooks() ? { books: "awaited" } : {}) });
}

type Keyed = Extract<EdgeRoute, { kind: "models" | "model" | "balance" | "request" | "endpoint" }>;

async function handleKeyed(visit: Visit, parts: EdgeParts, route: Keyed): Promise<void> {
  const authentication = authenticate(visit.request, parts.keys, parts.mayLackKeys);
  if (!authentication.ok) return turnAway(visit, authentication.error, challengeOf(authentication.error));
  visit.key = authentication.key;
  const verdict = admit(parts.known, authentication.key, scopeOf(route), addressOf(visit));
  if (!verdict.ok) return turnAway(visit, relayError(verdict.code, verdict.message), challengeOf(verdict));
  const { grant } = verdict;
  showStanding(visit.response, { limiter: parts.limiter, grant, snapshot: visit.snapshot });
  switch (route.kind) {
    case "endpoint":
      return handleEndpoint(visit, parts, route.endpoint, grant);
    case "balance":
      return sendBalance(visit, parts.credit, grant.account.id, route.shape);
    case "request":
      return sendReceipt(visit, parts.files, grant.account.id, route.id);
    case "model":
      return sendModel(visit, grant, route.id);
    case "models":
      return sendModels(visit, grant);
  }
}

function scopeOf(route: Keyed): Scope {
  switch (route.kind) {
    case "endpoint":
      return route.endpoint;
    case "balance":
      return "balance";
    case "request":
      return "requests";
    case "models":
    case "model":
      return "models";
  }
}
