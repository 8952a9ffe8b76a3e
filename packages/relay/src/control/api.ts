/** The control plane behind `/admin/api`: Fastify on the same listener, loaded when first asked for. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { DEFAULT_ACCOUNT, newKeyRecord, sha256 } from "../admission/keys.ts";
import type { KeyRecord, KeyRing } from "../admission/keys.ts";

export interface ControlParts {
  readonly keys: KeyRing;
  readonly adminToken: string | null;
  /** The relay listens on loopback: only loopback names may stand in `Host`, so that no web page can reach it by a name of its own. */
  readonly isLoopback: boolean;
}

const PAGE_MAX = 500;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;

const NewKey = z.strictObject({
  account_id: z.literal(DEFAULT_ACCOUNT, { error: "there is no such account" }).default(DEFAULT_ACCOUNT),
  name: z.string().trim().min(1).max(100).default("key"),
});
const Page = z.strictObject({ limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100), cursor: z.string().max(200).optional() });

/** Handles requests under `/admin`. */
export function controlApi(parts: ControlParts): (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void> {
  let app: Promise<FastifyInstance> | null = null;
  const ids = new WeakMap<IncomingMessage, string>();
  return async (request, response, requestId) => {
    app ??= build(parts, (raw) => ids.get(raw) ?? "");
    ids.set(request, requestId);
    (await app).routing(request, response);
  };
}

async function build(parts: ControlParts, idOf: (raw: IncomingMessage) => string): Promise<FastifyInstance> {
  const { fastify } = await import("fastify");
  const app = fastify({ bodyLimit: 1024 * 1024, genReqId: (raw) => idOf(raw), exposeHeadRoutes: false });
  const fail = (
    request: FastifyRequest,
    reply: FastifyReply,
    status: number,
    code: string,
    message: string,
    type = "invalid_request_error",
  ): FastifyReply => reply.code(status).send({ error: { message, type, param: null, code, request_id: request.id } });

  app.addHook("onRequest", async (request, reply) => {
    reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff").header("x-request-id", request.id);
    if (parts.isLoopback && !LOOPBACK_HOST.test(request.headers.host ?? ""))
      return fail(request, reply, 421, "misdirected_request", "This address is served under loopback names only.");
    if (!isOwner(request.headers.authorization, parts.adminToken)) {
      const hint =
        parts.adminToken === null
          ? "Start the relay with MILLRACE_ADMIN_TOKEN to use the control API."
          : "Send the owner's token as `Authorization: Bearer mra_...`.";
      return fail(
        request,
        reply,
        401,
        request.headers.authorization === undefined ? "key_missing" : "key_invalid",
        hint,
        "authentication_error",
      );
    }
    return undefined;
  });
  app.setNotFoundHandler((request, reply) => fail(request, reply, 404, "route_unknown", "There is nothing at this address."));
  app.setErrorHandler((error: { statusCode?: number; message: string }, request, reply) => {
    if (error instanceof z.ZodError) return fail(request, reply, 400, "invalid_request", z.prettifyError(error));
    const status = error.statusCode ?? 500;
    if (status < 500)
      return fail(
        request,
        reply,
        status,
        status === 413 ? "body_too_large" : status === 415 ? "unsupported_media_type" : "invalid_request",
        error.message,
      );
    return fail(request, reply, 503, "store_unavailable", "The change could not be stored; nothing was changed.", "server_error");
  });

  app.get("/admin/api/keys", (request) => pageOf(parts.keys.list(), Page.parse(request.query)));
  app.post("/admin/api/keys", async (request, reply) => {
    const { account_id, name } = NewKey.parse(request.body ?? {});
    const { text, record } = newKeyRecord(account_id, name, Date.now());
    await parts.keys.insert(record);
    return reply.code(201).send({ ...shown(record), key: text });
  });
  app.delete<{ Params: { id: string } }>("/admin/api/keys/:id", async (request, reply) => {
    const revoked = await parts.keys.revoke(request.params.id, Date.now());
    return revoked === null ? fail(request, reply, 404, "route_unknown", "There is no key with this id.") : shown(revoked);
  });
  await app.ready();
  return app;
}

function isOwner(header: string | undefined, token: string | null): boolean {
  if (header === undefined || token === null) return false;
  const given = /^Bearer\s+(\S+)\s*$/i.exec(header)?.[1];
  return given !== undefined && timingSafeEqual(sha256(given), sha256(token));
}

/** What may be shown of a key: never its text, never its hash. */
export function shown(key: KeyRecord): Record<string, unknown> {
  const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  return {
    id: key.id,
    account_id: key.accountId,
    name: key.name,
    hint: key.hint,
    created_at: time(key.createdAt),
    expires_at: time(key.expiresAt),
    revoked_at: time(key.revokedAt),
  };
}

function pageOf(keys: readonly KeyRecord[], page: z.infer<typeof Page>): { data: Record<string, unknown>[]; next: string | null } {
  const from = page.cursor === undefined ? 0 : keys.findIndex((key) => key.id === page.cursor) + 1;
  const slice = keys.slice(from, from + page.limit);
  const isMore = from + page.limit < keys.length;
  return { data: slice.map(shown), next: isMore ? (slice.at(-1)?.id ?? null) : null };
}
