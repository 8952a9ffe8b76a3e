/** The endpoints that answer with a model: body -> authorize -> limits -> run. */
import { admit } from "../admission/authorize.ts";
import type { Grant, Known } from "../admission/authorize.ts";
import type { Lease, Limiter } from "../admission/limits.ts";
import type { Exchange } from "../chat/exchange.ts";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";
import type { Runs } from "../chat/runs.ts";
import type { Endpoint } from "../provider/provider.ts";
import { challengeOf } from "./authenticate.ts";
import { readJsonBody } from "./body.ts";
import type { BodyBudget, JsonBody } from "./body.ts";
import { CHAT_DIALECT } from "./chat-dialect.ts";
import { readClientRequest } from "./endpoints/openai.ts";
import { HttpSink } from "./http-sink.ts";
import { readIdempotencyKey } from "./idempotency-key.ts";
import { modelFor } from "./models.ts";
import { enter, settleLease, showStanding } from "./rate-limit.ts";
import { hopsOf } from "./request-target.ts";
import { addressOf, turnAway } from "./visit.ts";
import type { Visit } from "./visit.ts";

/** What the data plane is built from. */
export interface DataPlaneParts {
  readonly known: Known;
  readonly limiter: Limiter;
  readonly runs: Runs;
  readonly bodyBudget: BodyBudget;
  /** Milliseconds that a body may take however slow it comes. */
  readonly bodyGraceMs: number;
  /** False if too many rows wait to be stored for a new request to start. */
  readonly hasRoom: () => boolean;
}

/** Reads the body of a request that was let in, and answers it. */
export async function handleEndpoint(visit: Visit, parts: DataPlaneParts, endpoint: Endpoint, grant: Grant): Promise<void> {
  visit.endpoint = endpoint;
  if (!parts.hasRoom())
    return turnAway(visit, relayError("store_unavailable", "The relay cannot record requests right now.", { retryAfterS: 5 }));
  const limits = { bytesMax: visit.snapshot.config.sizes.requestBytesMax, graceMs: parts.bodyGraceMs };
  const read = await readJsonBody(visit.request, limits, parts.bodyBudget);
  if (!read.ok) return read.error === null ? undefined : turnAway(visit, read.error);
  const giveBack = (): void => parts.bodyBudget.give(read.body.heldBytes);
  let isRunning = false;
  try {
    isRunning = startAnswer(visit, parts, endpoint, grant, read.body, giveBack);
  } finally {
    if (!isRunning) giveBack();
  }
}

/** @param onOver is called when the answer is over. @returns false when the request was turned away instead. */
function startAnswer(visit: Visit, parts: DataPlaneParts, endpoint: Endpoint, earlier: Grant, body: JsonBody, onOver: () => void): boolean {
  const bodyReadAt = performance.now();
  const read = readAsked(visit, parts, endpoint, earlier, body);
  if (!read.ok) {
    turnAway(visit, read.error, challengeOf(read.error));
    return false;
  }
  const { grant } = read;
  const { requestId: id, receivedAt, snapshot } = visit;
  const { textBytes, mediaBytes } = body;
  const asked = { id, at: Date.now(), receivedAt, bodyReadAt, snapshot, ...grant, ...read.asked, textBytes, mediaBytes };
  const caller = { limiter: parts.limiter, grant, snapshot };
  const entry = enter(caller, asked, () => !visit.response.closed || parts.runs.has(id));
  if (!entry.ok) {
    showStanding(visit.response, caller, visit.model);
    turnAway(visit, entry.error);
    return false;
  }
  const onUnused = (): void => {
    entry.lease.undo();
    if (!visit.response.headersSent) showStanding(visit.response, caller, visit.model);
  };
  try {
    showStanding(visit.response, caller, visit.model);
    run(visit, parts, { ...asked, onUnused, onRow: (row) => settleLease(entry.lease, row) }, entry.lease, onOver);
    return true;
  } catch (error) {
    entry.lease.release();
    throw error;
  }
}

type Asked =
  | { readonly ok: true; readonly grant: Grant; readonly asked: Pick<Exchange, "request" | "model" | "idempotencyKey"> }
  | { readonly ok: false; readonly error: RelayError };

/** What the body asks for. The body may have taken long to arrive, so the key is checked again: it may be revoked by now. */
function readAsked(visit: Visit, { known }: DataPlaneParts, endpoint: Endpoint, earlier: Grant, body: JsonBody): Asked {
  const verdict = admit(known, earlier.key, endpoint, addressOf(visit));
  if (!verdict.ok) return { ok: false, error: relayError(verdict.code, verdict.message) };
  const { grant } = verdict;
  const parsed = readClientRequest(endpoint, body, hopsOf(visit.request));
  if (!parsed.ok) return parsed;
  const { request } = parsed;
  visit.model = request.model;
  const found = modelFor(grant, visit.snapshot, request.model);
  if (!found.ok) return found;
  const named = readIdempotencyKey(visit.request);
  if (!named.ok) return named;
  return { ok: true, grant, asked: { request, model: found.model, idempotencyKey: named.idempotencyKey } };
}

function run(visit: Visit, parts: DataPlaneParts, exchange: Exchange, lease: Lease, onOver: () => void): void {
  const sink = new HttpSink(visit.response, exchange.id, exchange.request.isStream, CHAT_DIALECT);
  parts.runs.start(exchange, { sink, dialect: CHAT_DIALECT }, () => {
    try {
      lease.release();
    } finally {
      onOver();
    }
  });
}
