/** What becomes of a request: probes, models, the data plane's doors, the control plane. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KeyRecord, KeyRing } from "../admission/keys.ts";
import { readCredential } from "../admission/credential.ts";
import { answer } from "../chat/answer.ts";
import type { ChatParts, Running } from "../chat/answer.ts";
import { relayError } from "../chat/failure.ts";
import type { RelayError } from "../chat/failure.ts";
import type { Config, Model } from "../config/config.ts";
import type { ErrorCode } from "@millrace/wire/error-codes";
import type { Door } from "../provider/provider.ts";
import type { BodyBudget, BodyLimits } from "./body.ts";
import { readJsonBody } from "./body.ts";
import { readClientRequest } from "./chat-request.ts";
import { findRoute } from "./doors.ts";
import type { Route } from "./doors.ts";
import { HttpSink } from "./http-sink.ts";
import { refuse, sendJson, sendText } from "./reply.ts";
import { hopsOf, readTarget } from "./request-target.ts";

/** What the edge is built from. */
export interface EdgeParts {
  readonly config: () => Config;
  readonly keys: KeyRing;
  readonly chat: ChatParts;
  readonly resolve: (name: string) => Model | null;
  readonly closeMatches: (name: string) => string[];
  readonly bodyLimits: BodyLimits;
  readonly bodyBudget: BodyBudget;
  /** Why this relay takes no traffic, or null when it may. */
  readonly notReady: () => string | null;
  readonly metrics: () => string;
  readonly admin: (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void>;
  readonly running: Set<Running>;
}

/** Handles one request to its end. */
export async function handle(request: IncomingMessage, response: ServerResponse, requestId: string, parts: EdgeParts): Promise<void> {
  const receivedAt = performance.now();
  if (parts.notReady() === "stopping") response.setHeader("connection", "close");
  const target = readTarget(request);
  // After a head that two readers could read in two ways, nobody knows where the next request begins.
  if (!target.ok)
    return refuse(
      request,
      response,
      relayError(target.code, target.message),
      requestId,
      target.code === "invalid_request" ? { connection: "close" } : {},
    );
  const found = findRoute(request.method ?? "", target.path);
  if (!found.ok) return refuseRoute(request, response, requestId, found.allow);
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
    case "models":
    case "model":
    case "door":
      return handleKeyed(request, response, requestId, route, receivedAt, parts);
  }
}

function refuseRoute(request: IncomingMessage, response: ServerResponse, requestId: string, allow: string | null): void {
  if (allow === null)
    return refuse(request, response, relayError("route_unknown", "There is nothing at this address. The doors are under /v1."), requestId);
  refuse(request, response, relayError("method_not_allowed", `This address takes ${allow}.`), requestId, { allow });
}

function sendReadiness(response: ServerResponse, parts: EdgeParts): void {
  const reason = parts.notReady();
  sendJson(response, reason === null ? 200 : 503, reason === null ? { status: "ready" } : { status: reason });
}

const KEY_MESSAGES: Readonly<Record<"key_malformed" | "key_invalid" | "key_revoked" | "key_expired", string>> = {
  key_malformed: "This is not a key of this relay: it begins with sk- and was copied whole.",
  key_invalid: "This key is not known here.",
  key_revoked: "This key was revoked.",
  key_expired: "This key has expired.",
};

type Keyed = Extract<Route, { kind: "models" | "model" | "door" }>;

async function handleKeyed(
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
  route: Keyed,
  receivedAt: number,
  parts: EdgeParts,
): Promise<void> {
  const authentication = authenticate(request, parts.keys);
  if (!authentication.ok)
    return refuse(request, response, relayError(authentication.code, authentication.message), requestId, { "www-authenticate": "Bearer" });
  if (route.kind === "models")
    return sendJson(response, 200, { object: "list", data: listed(parts.config()).map(modelObject) }, { "x-request-id": requestId });
  if (route.kind === "model") return sendModel(request, response, requestId, route.id, parts);
  return handleDoor(request, response, requestId, route.door, authentication.key, receivedAt, parts);
}

type Authentication =
  | { readonly ok: true; readonly key: KeyRecord }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

function authenticate(request: IncomingMessage, keys: KeyRing): Authentication {
  const credential = readCredential(request.headers);
  if (!credential.ok) return credential;
  const verdict = keys.verify(credential.text, Date.now());
  return verdict.ok ? verdict : { ok: false, code: verdict.code, message: KEY_MESSAGES[verdict.code] };
}

function listed(config: Config): Model[] {
  return [...config.models.values()].filter((model) => model.isListed);
}

function modelObject(model: Model): Record<string, unknown> {
  return { id: model.name, object: "model", created: 0, owned_by: model.routes[0]?.upstream ?? "millrace" };
}

function sendModel(request: IncomingMessage, response: ServerResponse, requestId: string, id: string, parts: EdgeParts): void {
  const model = parts.resolve(id);
  if (model === null) return refuse(request, response, unknownModel(id, parts), requestId);
  sendJson(response, 200, modelObject(model), { "x-request-id": requestId });
}

function unknownModel(name: string, parts: EdgeParts): RelayError {
  const close = parts.closeMatches(name);
  const hint = close.length === 0 ? "GET /v1/models lists what there is." : `Did you mean ${close.join(" or ")}?`;
  return relayError("model_not_found", `The model ${JSON.stringify(name.slice(0, 80))} is not known here. ${hint}`, { param: "model" });
}

async function handleDoor(
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
  door: Door,
  key: KeyRecord,
  receivedAt: number,
  parts: EdgeParts,
): Promise<void> {
  if (!parts.chat.rows.hasRoom)
    return refuse(
      request,
      response,
      relayError("store_unavailable", "The relay cannot record requests right now.", { retryAfterS: 5 }),
      requestId,
    );
  const read = await readJsonBody(request, parts.bodyLimits, parts.bodyBudget);
  if (!read.ok) return read.error === null ? undefined : refuse(request, response, read.error, requestId);
  const bodyReadAt = performance.now();
  try {
    const parsed = readClientRequest(door, read.body, hopsOf(request));
    if (!parsed.ok) return refuse(request, response, parsed.error, requestId);
    const model = parts.resolve(parsed.request.model);
    if (model === null) return refuse(request, response, unknownModel(parsed.request.model, parts), requestId);
    const sink = new HttpSink(response, requestId, parsed.request.isStream);
    const exchange = {
      id: requestId,
      at: Date.now(),
      receivedAt,
      bodyReadAt,
      key,
      request: parsed.request,
      model,
      textBytes: read.body.textBytes,
    };
    const running = answer(exchange, sink, parts.chat);
    parts.running.add(running);
    await running.done.finally(() => parts.running.delete(running));
  } finally {
    parts.bodyBudget.give(read.body.bytes.length);
  }
}
