/** What becomes of a request: probes, models, the data plane's endpoints, the control plane. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AccountRegistry } from "../admission/accounts.ts";
import { mayUse, mayUseModel } from "../admission/authorize.ts";
import type { Scope } from "../admission/authorize.ts";
import type { KeyRecord, KeyRing } from "../admission/keys.ts";
import { readCredential } from "../admission/credential.ts";
import type { ChatParts } from "../chat/answer.ts";
import type { Runs } from "../chat/runs.ts";
import type { Snapshot } from "../chat/snapshot.ts";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";
import { closeMatches } from "../basics/nearest.ts";
import type { Model } from "../config/config.ts";
import { resolveModel } from "../config/resolve-model.ts";
import type { ErrorCode } from "@millrace/wire/error-codes";
import { formatUsd, nanos } from "@millrace/wire/money";
import { shownReceipt } from "../insight/receipt.ts";
import type { RequestFiles } from "../insight/request-file.ts";
import type { RequestRow } from "../insight/row.ts";
import { readBalance, shownBalance } from "../ledger/balance.ts";
import type { ShownBalance } from "../ledger/balance.ts";
import type { Endpoint } from "../provider/provider.ts";
import { readIdempotencyKey } from "./idempotency-key.ts";
import { clientAddress } from "./client-address.ts";
import type { BodyBudget, BodyLimits, JsonBody } from "./body.ts";
import { readJsonBody } from "./body.ts";
import { readClientRequest } from "./endpoints/openai.ts";
import { findRoute } from "./routes.ts";
import type { Route } from "./routes.ts";
import { statusOf } from "./error-table.ts";
import { HttpSink } from "./http-sink.ts";
import { CHAT_DIALECT } from "./chat-dialect.ts";
import { enter, settleLease, showStanding, tierAllows } from "./rate-limit.ts";
import type { LimitParts } from "./rate-limit.ts";
import { refuse, sendJson, sendText } from "./reply.ts";
import { hopsOf, readTarget } from "./request-target.ts";

/** What the edge is built from. */
export interface EdgeParts {
  /** The configuration that holds now; a request takes it once, when it enters. */
  readonly snapshot: () => Snapshot;
  readonly keys: KeyRing;
  /** True while another relay may have made keys that are not known here. */
  readonly mayLackKeys: () => boolean;
  readonly accounts: AccountRegistry;
  readonly limits: LimitParts;
  readonly chat: ChatParts;
  readonly files: RequestFiles;
  /** Nano-USD left of the credit that an account was given and did not pay for. Rejects when the store does not answer. */
  readonly givenTo: (accountId: string) => Promise<bigint>;
  readonly bodyLimits: BodyLimits;
  readonly bodyBudget: BodyBudget;
  /** Why this relay takes no traffic, or null when it may. */
  readonly notReady: () => string | null;
  readonly metrics: () => string;
  readonly admin: (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void>;
  readonly runs: Runs;
  /** Told of each request that no upstream saw. */
  readonly onRefusal: (refusal: Refusal) => void;
}

/** What is known of a request that was turned away; whose it was only where its key was good. */
export interface Refusal {
  readonly requestId: string;
  readonly status: number;
  readonly code: string;
  readonly key: KeyRecord | null;
  readonly endpoint: Endpoint | null;
  readonly model: string;
  readonly durationMs: number;
}

/** One request on its way through the edge; what is learnt of it is put down here. */
interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** Monotonic clock, milliseconds. */
  readonly receivedAt: number;
  readonly parts: EdgeParts;
  readonly snapshot: Snapshot;
  key: KeyRecord | null;
  endpoint: Endpoint | null;
  model: string;
}

/** Handles one request to its end. */
export async function handle(request: IncomingMessage, response: ServerResponse, requestId: string, parts: EdgeParts): Promise<void> {
  const visit: Visit = {
    request,
    response,
    requestId,
    receivedAt: performance.now(),
    parts,
    snapshot: parts.snapshot(),
    key: null,
    endpoint: null,
    model: "",
  };
  if (parts.notReady() === "stopping") response.setHeader("connection", "close");
  const target = readTarget(request);
  // After a head that two readers could read in two ways, nobody knows where the next request begins.
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
    case "models":
    case "model":
    case "balance":
    case "request":
    case "endpoint":
      return handleKeyed(visit, route);
  }
}

/** Answers with an error and lets it be counted and written down. */
function turnAway(visit: Visit, error: RelayError, headers: Readonly<Record<string, string>> = {}): void {
  const { request, response, requestId, key, endpoint, model, receivedAt } = visit;
  refuse(request, response, error, requestId, headers);
  const durationMs = performance.now() - receivedAt;
  visit.parts.onRefusal({ requestId, status: statusOf(error), code: error.code, key, endpoint, model, durationMs });
}

function turnAwayRoute(visit: Visit, allow: string | null): void {
  if (allow === null) return turnAway(visit, relayError("route_unknown", "There is nothing at this address. The endpoints are under /v1."));
  turnAway(visit, relayError("method_not_allowed", `This address takes ${allow}.`), { allow });
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

type Keyed = Extract<Route, { kind: "models" | "model" | "balance" | "request" | "endpoint" }>;

async function handleKeyed(visit: Visit, route: Keyed): Promise<void> {
  const { request, response, requestId, parts } = visit;
  const authentication = authenticate(request, parts.keys);
  if (!authentication.ok) {
    if (authentication.code === "key_invalid" && parts.mayLackKeys())
      return turnAway(visit, relayError("store_unavailable", "Whether this key is good cannot be told right now.", { retryAfterS: 5 }));
    return turnAway(visit, relayError(authentication.code, authentication.message), { "www-authenticate": "Bearer" });
  }
  visit.key = authentication.key;
  const scope = scopeOf(route);
  const grant = mayUse(
    parts.accounts.get(authentication.key.accountId),
    authentication.key,
    scope,
    clientAddress(request, visit.snapshot.isTrustedProxy),
  );
  if (!grant.ok) return turnAway(visit, relayError(grant.code, grant.message));
  showStanding(response, parts.limits, authentication.key);
  if (route.kind === "endpoint") return handleEndpoint(visit, route.endpoint, authentication.key);
  if (route.kind === "balance") return sendBalance(visit, authentication.key.accountId, route.shape);
  if (route.kind === "request") return sendReceipt(visit, authentication.key.accountId, route.id);
  if (route.kind === "model") return sendModel(visit, route.id);
  sendJson(response, 200, { object: "list", data: listed(visit, authentication.key).map(modelObject) }, { "x-request-id": requestId });
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

type Authentication =
  | { readonly ok: true; readonly key: KeyRecord }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

function authenticate(request: IncomingMessage, keys: KeyRing): Authentication {
  const credential = readCredential(request.headers);
  if (!credential.ok) return credential;
  const verdict = keys.verify(credential.text, Date.now());
  return verdict.ok ? verdict : { ok: false, code: verdict.code, message: KEY_MESSAGES[verdict.code] };
}

function listed({ parts, snapshot }: Visit, key: KeyRecord): Model[] {
  return [...snapshot.config.models.values()].filter((model) => model.isListed && isAllowed(parts, key, model.name));
}

/** Both the key and its account's tier may name the models that they are for. */
function isAllowed(parts: EdgeParts, key: KeyRecord, model: string): boolean {
  return mayUseModel(key, model) && tierAllows(parts.limits, key, model);
}

function modelObject(model: Model): Record<string, unknown> {
  return { id: model.name, object: "model", created: 0, owned_by: model.routes[0]?.upstream ?? "millrace" };
}

function sendModel(visit: Visit, id: string): void {
  const model = visit.key !== null && isAllowed(visit.parts, visit.key, id) ? resolveModel(visit.snapshot.config, id) : null;
  if (model === null) return turnAway(visit, unknownModel(id, visit.snapshot));
  sendJson(visit.response, 200, modelObject(model), { "x-request-id": visit.requestId });
}

function notAllowed(model: string): RelayError {
  const message = `This key may not use the model ${JSON.stringify(model.slice(0, 80))}.`;
  return relayError("model_not_allowed", message, { param: "model" });
}

async function sendBalance(visit: Visit, accountId: string, shape: "wallet" | "infos"): Promise<void> {
  const balance = await readBalance(visit.parts.chat.billing, accountId);
  const given = shape === "wallet" ? 0n : await visit.parts.givenTo(accountId).catch(() => "store_unavailable" as const);
  if (balance === "store_unavailable" || given === "store_unavailable")
    return turnAway(visit, relayError("store_unavailable", "The ledger does not answer.", { retryAfterS: 5 }));
  // An account that does not pay has no balance, and always enough.
  const shown = balance ?? shownBalance({ accountId, balanceNanos: 0n, heldNanos: 0n, availableNanos: 0n });
  const body = shape === "wallet" ? { ...shown, metered: balance !== null } : infosShape(shown, given, balance === null);
  sendJson(visit.response, 200, body, { "x-request-id": visit.requestId });
}

async function sendReceipt(visit: Visit, accountId: string, id: string): Promise<void> {
  const file = await visit.parts.files.requestFile(id, accountId).catch(() => "unavailable" as const);
  if (file === "unavailable") return turnAway(visit, relayError("store_unavailable", "The store does not answer.", { retryAfterS: 5 }));
  if (file === null) return turnAway(visit, relayError("request_unknown", `There is no request ${id} of this account.`));
  sendJson(visit.response, 200, shownReceipt(id, file), { "x-request-id": visit.requestId });
}

/** What is owed is owed of what was paid for. */
function infosShape(shown: ShownBalance, given: bigint, isFree: boolean): unknown {
  const total = BigInt(shown.balance_nanos);
  const granted = given < total ? given : total < 0n ? 0n : total;
  const [granted_balance, topped_up_balance] = [granted, total - granted].map((amount) => formatUsd(nanos(amount)));
  const info = { currency: shown.currency, total_balance: shown.balance, granted_balance, topped_up_balance };
  return { is_available: isFree || BigInt(shown.available_nanos) > 0n, balance_infos: [info] };
}

function unknownModel(name: string, { config }: Snapshot): RelayError {
  const close = closeMatches(name, [...config.models.keys()]);
  const hint = close.length === 0 ? "GET /v1/models lists what there is." : `Did you mean ${close.join(" or ")}?`;
  return relayError("model_not_found", `The model ${JSON.stringify(name.slice(0, 80))} is not known here. ${hint}`, { param: "model" });
}

async function handleEndpoint(visit: Visit, endpoint: Endpoint, key: KeyRecord): Promise<void> {
  const { request, parts } = visit;
  visit.endpoint = endpoint;
  if (!parts.chat.rows.hasRoom)
    return turnAway(visit, relayError("store_unavailable", "The relay cannot record requests right now.", { retryAfterS: 5 }));
  const read = await readJsonBody(request, parts.bodyLimits, parts.bodyBudget);
  if (!read.ok) return read.error === null ? undefined : turnAway(visit, read.error);
  const giveBack = (): void => parts.bodyBudget.give(read.body.heldBytes);
  let isRunning = false;
  try {
    isRunning = startAnswer(visit, endpoint, key, read.body, giveBack);
  } finally {
    if (!isRunning) giveBack();
  }
}

/** @param onOver is called when the answer is over. @returns false when the request was turned away instead. */
function startAnswer(visit: Visit, endpoint: Endpoint, given: KeyRecord, body: JsonBody, onOver: () => void): boolean {
  const { request, parts } = visit;
  const bodyReadAt = performance.now();
  // The body may have taken its time, and the key may have been revoked since.
  const key = parts.keys.latest(given);
  if (key.revokedAt !== null) return refused(visit, relayError("key_revoked", KEY_MESSAGES.key_revoked), { "www-authenticate": "Bearer" });
  const grant = mayUse(parts.accounts.get(key.accountId), key, endpoint, clientAddress(request, visit.snapshot.isTrustedProxy));
  if (!grant.ok) return refused(visit, relayError(grant.code, grant.message));
  const parsed = readClientRequest(endpoint, body, hopsOf(request));
  if (!parsed.ok) return refused(visit, parsed.error);
  visit.model = parsed.request.model;
  if (!isAllowed(parts, key, visit.model)) return refused(visit, notAllowed(visit.model));
  const model = resolveModel(visit.snapshot.config, parsed.request.model);
  if (model === null) return refused(visit, unknownModel(parsed.request.model, visit.snapshot));
  const account = parts.accounts.get(key.accountId);
  if (account === undefined) throw new Error(`the account of ${key.id} is gone`);
  const { requestId: id, receivedAt } = visit;
  const { textBytes, mediaBytes } = body;
  const named = readIdempotencyKey(request);
  if (!named.ok) return refused(visit, named.error);
  const { idempotencyKey } = named;
  const asked = {
    id,
    at: Date.now(),
    receivedAt,
    bodyReadAt,
    snapshot: visit.snapshot,
    key,
    account,
    request: parsed.request,
    model,
    textBytes,
    mediaBytes,
    idempotencyKey,
  };
  const entry = enter(parts.limits, key, asked, () => !visit.response.closed || parts.runs.has(id));
  showStanding(visit.response, parts.limits, key, visit.model);
  if (!entry.ok) return refused(visit, entry.error);
  const { lease } = entry;
  const onUnused = (): void => {
    lease.undo();
    if (!visit.response.headersSent) showStanding(visit.response, parts.limits, key, visit.model);
  };
  const sink = new HttpSink(visit.response, id, parsed.request.isStream, CHAT_DIALECT);
  const exchange = { ...asked, onUnused, onRow: (row: RequestRow) => settleLease(lease, row) };
  parts.runs.start(exchange, { sink, dialect: CHAT_DIALECT }, () => {
    lease.release();
    onOver();
  });
  return true;
}

function refused(...given: Parameters<typeof turnAway>): false {
  turnAway(...given);
  return false;
}
