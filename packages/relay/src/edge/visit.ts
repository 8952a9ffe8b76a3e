/** One request on its way through the edge: what the edge learns about it, and how the edge refuses it. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { KeyRecord } from "../admission/keys.ts";
import type { RefusedRequest } from "../chat/recorder.ts";
import type { RelayError } from "../chat/relay-error.ts";
import type { Snapshot } from "../chat/snapshot.ts";
import type { Endpoint } from "../provider/provider.ts";
import { clientAddress } from "./client-address.ts";
import { statusOf } from "./error-table.ts";
import { refuse, sendJson } from "./reply.ts";

export interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** Monotonic clock, milliseconds. */
  readonly receivedAt: number;
  /** The configuration that held when the request came. */
  readonly snapshot: Snapshot;
  /** Called when the edge refuses the request. */
  readonly onRefusal: (refusal: RefusedRequest) => void;
  key: KeyRecord | null;
  endpoint: Endpoint | null;
  model: string;
}

/** Answers with an error and has it counted and recorded. */
export function turnAway(visit: Visit, error: RelayError, headers: Readonly<Record<string, string>> = {}): void {
  const { request, response, requestId, key, endpoint, model, receivedAt } = visit;
  refuse(request, response, error, requestId, headers);
  const durationMs = performance.now() - receivedAt;
  const { revision } = visit.snapshot;
  visit.onRefusal({ requestId, status: statusOf(error), code: error.code, revision, key, endpoint, model, durationMs });
}

/** Answers a keyed request with JSON. */
export function sendVisited({ response, requestId }: Visit, body: unknown): void {
  sendJson(response, 200, body, { "x-request-id": requestId });
}

/** The client's address, given the proxies that the request's configuration trusts. */
export function addressOf({ request, snapshot }: Pick<Visit, "request" | "snapshot">): string | undefined {
  return clientAddress(request, snapshot.isTrustedProxy);
}
