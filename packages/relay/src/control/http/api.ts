/** The control plane behind `/admin/api`: Fastify on the same listener, loaded when first asked for. */
import { errorStack, errorText } from "../../basics/error-text.ts";
import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { scanJson } from "@millrace/wire/json-scan";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { operationsOf } from "../operations.ts";
import type { Operations, OperationsParts } from "../operations.ts";
import type { Caller } from "../access/caller.ts";
import { Authenticator } from "../access/authenticator.ts";
import { Authorizer } from "../access/authorizer.ts";
import type { GateParts } from "../access/authorizer.ts";
import { Refusal } from "./refusal.ts";
import type { ControlRoute } from "./route.ts";
import { ROUTES } from "./routes.ts";
import { SerialQueue } from "./serial-queue.ts";
import { SessionOperations } from "../access/session-operations.ts";
import type { ControlSettings } from "../settings.ts";

export interface ControlParts extends GateParts, OperationsParts {
  readonly settings: () => ControlSettings;
}

const BODY_BYTES_MAX = 1024 * 1024;
/** Time for a body to arrive, in milliseconds. */
const BODY_MS = 30_000;
const BODY_LIMITS = { depthMax: 16, itemsMax: 5_000 };

/** What the authorizer found out about a request, for its handler. */
interface Admission {
  readonly requestId: string;
  readonly caller: Caller | null;
  readonly address: string;
}

/** Handles requests under `/admin`. */
export function controlApi(parts: ControlParts): (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void> {
  const authenticator = new Authenticator({ adminToken: () => parts.settings().adminToken, members: parts.store });
  const gate = new Authorizer(ROUTES, authenticator, parts);
  const operations = operationsOf(parts, new SessionOperations(authenticator, !parts.isLoopback));
  const admissions = new WeakMap<IncomingMessage, Admission>();
  let app: Promise<FastifyInstance> | null = null;
  return async (request, response, requestId) => {
    const admitted = await admit(gate, request, parts);
    if (!admitted.ok) return refuse(response, admitted.refusal, requestId);
    const timer = setTimeout(() => request.socket.destroy(), BODY_MS).unref();
    request.on("close", () => clearTimeout(timer));
    app ??= build(operations, admissions, parts);
    admissions.set(request, { requestId, caller: admitted.caller, address: admitted.address });
    (await app).routing(request, response);
  };
}

/** Refuses every request while the store does not answer. */
async function admit(gate: Authorizer, request: IncomingMessage, parts: ControlParts): ReturnType<Authorizer["admit"]> {
  try {
    return await gate.admit(request, Date.now());
  } catch (error) {
    parts.onTrouble(`the relay could not look up a credential: ${errorText(error)}`);
    return { ok: false, refusal: new Refusal("store_unavailable", "The database does not answer.") };
  }
}

/** Sent with every answer. */
const headersFor = (requestId: string): Record<string, string> => ({
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "x-request-id": requestId,
});

function refuse(response: ServerResponse, refusal: Refusal, requestId: string): void {
  const text = `${JSON.stringify(refusal.body(requestId))}\n`;
  const length = String(Buffer.byteLength(text));
  const headers = { "content-type": "application/json", "content-length": length, ...headersFor(requestId), ...refusal.headers };
  response.writeHead(refusal.status, headers);
  response.end(text);
}

async function build(
  operations: Operations,
  admissions: WeakMap<IncomingMessage, Admission>,
  parts: ControlParts,
): Promise<FastifyInstance> {
  const { fastify } = await import("fastify");
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    genReqId: (raw) => admissions.get(raw)?.requestId ?? "",
    exposeHeadRoutes: false,
  });
  const fail = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply =>
    reply.code(refusal.status).headers(refusal.headers).send(refusal.body(request.id));

  app.addHook("onRequest", async (request, reply) => {
    reply.headers(headersFor(request.id));
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    // A browser session also says that it sends JSON when it sends no body.
    if (request.method === "DELETE" && body.length === 0) return done(null, undefined);
    const fault = bodyFault(body as Buffer);
    if (fault !== null) done(fault);
    else done(null, JSON.parse(body.toString("utf8")));
  });
  app.setNotFoundHandler((request, reply) => fail(request, reply, new Refusal("route_unknown", "There is nothing at this address.")));
  app.setErrorHandler((error, request, reply) => fail(request, reply, errorFor(error, parts)));
  const turns = new SerialQueue();
  for (const route of ROUTES) serve(app, route, operations, admissions, parts, turns);
  await app.ready();
  return app;
}

function serve(
  app: FastifyInstance,
  route: ControlRoute,
  operations: Operations,
  admissions: WeakMap<IncomingMessage, Admission>,
  { store }: ControlParts,
  turns: SerialQueue,
): void {
  app.route<{ Params: { id?: string } }>({
    method: route.method,
    url: route.path.replace("{id}", ":id"),
    handler: async (request, reply) => {
      const { params, query, body } = request;
      const { caller = null, address = null } = admissions.get(request.raw) ?? {};
      const setHeader = (name: string, value: string): void => void reply.header(name, value);
      const run = async (): Promise<unknown> => {
        await store.fresh();
        return route.run(operations, { caller, id: params.id ?? "", query, body, address, setHeader });
      };
      const answer = await (route.method === "GET" ? run() : turns.take(run));
      return reply.code(route.status).send(answer);
    },
  });
}

/** Why the control plane does not accept a body, or null. */
function bodyFault(body: Buffer): Refusal | null {
  const scan = scanJson(body, BODY_LIMITS);
  if (scan.fault === null) return isUtf8(body) ? null : new Refusal("invalid_json", "The body is not valid UTF-8.");
  switch (scan.fault.reason) {
    case "depth":
    case "items":
      return new Refusal("body_too_deep", "The body is nested too deep or has too many items.");
    case "duplicate_key":
    case "proto_key":
      return new Refusal("invalid_request", "The body has a key twice, or the key __proto__.");
    default:
      return new Refusal("invalid_json", "The body is not valid JSON.");
  }
}

function errorFor(error: unknown, parts: ControlParts): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof z.ZodError) return new Refusal("invalid_request", z.prettifyError(error));
  switch ((error as { statusCode?: number }).statusCode) {
    case 413:
      return new Refusal("body_too_large", `The body may have at most ${BODY_BYTES_MAX} bytes.`);
    case 415:
      return new Refusal("unsupported_media_type", "Send the body as Content-Type: application/json.");
    case 400:
      return new Refusal("invalid_request", "The relay cannot read the request.");
    default:
      parts.onTrouble(`the control API failed: ${errorStack(error)}`);
      return new Refusal("store_unavailable", "The database did not carry out the request.");
  }
}
