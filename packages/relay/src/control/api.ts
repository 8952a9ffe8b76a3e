/** The control plane behind `/admin/api`: Fastify on the same listener, loaded when first asked for. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { scanJson } from "@millrace/wire/json-scan";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { Operations } from "./operations.ts";
import type { OperationsParts } from "./operations.ts";
import { refusalOf } from "./gate.ts";
import type { GateParts } from "./gate.ts";
import { Refusal } from "./refusal.ts";

export interface ControlParts extends GateParts, OperationsParts {}

const BODY_BYTES_MAX = 1024 * 1024;
/** A body must be there by then. */
const BODY_MS = 30_000;
const BODY_LIMITS = { depthMax: 16, itemsMax: 1_000 };

/** Handles requests under `/admin`. */
export function controlApi(parts: ControlParts): (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void> {
  let app: Promise<FastifyInstance> | null = null;
  const ids = new WeakMap<IncomingMessage, string>();
  return async (request, response, requestId) => {
    const refusal = refusalOf(request, parts);
    if (refusal !== null) return refuse(response, refusal, requestId);
    const timer = setTimeout(() => request.socket.destroy(), BODY_MS).unref();
    request.on("close", () => clearTimeout(timer));
    app ??= build(parts, (raw) => ids.get(raw) ?? "");
    ids.set(request, requestId);
    (await app).routing(request, response);
  };
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

async function build(parts: ControlParts, idOf: (raw: IncomingMessage) => string): Promise<FastifyInstance> {
  const { fastify } = await import("fastify");
  const app = fastify({ bodyLimit: BODY_BYTES_MAX, genReqId: (raw) => idOf(raw), exposeHeadRoutes: false });
  const fail = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply =>
    reply.code(refusal.status).send(refusal.body(request.id));

  app.addHook("onRequest", async (request, reply) => {
    reply.headers(headersFor(request.id));
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => {
    const fault = bodyFault(body as Buffer);
    if (fault !== null) done(fault);
    else done(null, JSON.parse(body.toString("utf8")));
  });
  app.setNotFoundHandler((request, reply) => fail(request, reply, new Refusal("route_unknown", "There is nothing at this address.")));
  app.setErrorHandler((error: { statusCode?: number }, request, reply) => fail(request, reply, errorFor(error)));

  const act = new Operations(parts);
  type ById = { Params: { id: string } };
  const made = async (reply: FastifyReply, shown: Promise<unknown>): Promise<FastifyReply> => reply.code(201).send(await shown);
  app.get("/admin/api/accounts", (request) => act.listAccounts(request.query));
  app.post("/admin/api/accounts", (request, reply) => made(reply, act.createAccount(request.body)));
  app.get<ById>("/admin/api/accounts/:id", (request) => act.account(request.params.id));
  app.patch<ById>("/admin/api/accounts/:id", (request) => act.changeAccount(request.params.id, request.body));
  app.get<ById>("/admin/api/accounts/:id/balance", (request) => act.balance(request.params.id));
  app.post<ById>("/admin/api/accounts/:id/credits", (request, reply) => made(reply, act.grantCredit(request.params.id, request.body)));
  app.get("/admin/api/keys", (request) => act.listKeys(request.query));
  app.post("/admin/api/keys", (request, reply) => made(reply, act.createKey(request.body)));
  app.get<ById>("/admin/api/keys/:id", (request) => act.key(request.params.id));
  app.patch<ById>("/admin/api/keys/:id", (request) => act.changeKey(request.params.id, request.body));
  app.delete<ById>("/admin/api/keys/:id", (request) => act.revokeKey(request.params.id));
  app.post<ById>("/admin/api/keys/:id/rotate", (request, reply) => made(reply, act.rotateKey(request.params.id, request.body)));
  await app.ready();
  return app;
}

/** What a body holds that the control plane does not read. */
function bodyFault(body: Buffer): Refusal | null {
  const scan = scanJson(body, BODY_LIMITS);
  if (scan.fault === null) return isUtf8(body) ? null : new Refusal("invalid_json", "The body is not valid UTF-8.");
  switch (scan.fault.reason) {
    case "depth":
    case "items":
      return new Refusal("body_too_deep", "The body is nested too deep or holds too many items.");
    case "duplicate_key":
    case "proto_key":
      return new Refusal("invalid_request", "The body holds a key twice, or the key __proto__.");
    default:
      return new Refusal("invalid_json", "The body is not valid JSON.");
  }
}

function errorFor(error: { statusCode?: number }): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof z.ZodError) return new Refusal("invalid_request", z.prettifyError(error));
  switch (error.statusCode) {
    case 413:
      return new Refusal("body_too_large", `The body may have at most ${BODY_BYTES_MAX} bytes.`);
    case 415:
      return new Refusal("unsupported_media_type", "Send the body as Content-Type: application/json.");
    case 400:
      return new Refusal("invalid_request", "The request cannot be read.");
    default:
      return new Refusal("store_unavailable", "The change could not be stored; nothing was changed.");
  }
}
