/**
 * A route as a row of a table: its address, the roles that may use it, its input, its answer, and what it does. The authorizer, the
 * server, the command on a data directory, the OpenAPI document and the test of roles all use these rows.
 */
import * as z from "zod";
import type { Operations } from "../operations.ts";
import type { Caller, Role } from "../access/caller.ts";

/** The beginning of every route's address. */
export const API = "/admin/api";

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** A request to a route, not checked yet. */
interface Asked {
  /** Null on routes that need no credential. */
  readonly caller: Caller | null;
  /** The id in the address; empty if the address has none. */
  readonly id: string;
  readonly query: unknown;
  readonly body: unknown;
  readonly address: string | null;
  setHeader(name: string, value: string): void;
}

export interface ControlRoute {
  /** Name of the operation in the OpenAPI document. */
  readonly name: string;
  readonly method: Method;
  /** The address; `{id}` means an id. */
  readonly path: string;
  readonly roles: "anyone" | readonly Role[];
  readonly status: 200 | 201;
  readonly summary: string;
  readonly query: z.ZodType;
  readonly body: z.ZodType;
  readonly answer: z.ZodType;
  readonly run: (operations: Operations, asked: Asked) => Promise<unknown>;
}

/** A request to a route after its input was checked. */
export interface Given<Q, B> extends Pick<Asked, "id" | "address" | "setHeader"> {
  readonly query: Q;
  readonly body: B;
}

const NOTHING = z.strictObject({});

interface Spec<G, A extends z.ZodType> extends Pick<ControlRoute, "name" | "method" | "path" | "summary"> {
  readonly status?: 201;
  readonly answer: A;
  readonly act: (operations: Operations, given: G) => z.input<A> | Promise<z.input<A>>;
}

interface Inputs<Q extends z.ZodType, B extends z.ZodType> {
  readonly query?: Q;
  readonly body?: B;
}

/** A route for callers with one of the roles. It refuses input that it does not ask for. */
export function route<A extends z.ZodType, Q extends z.ZodType = typeof NOTHING, B extends z.ZodType = typeof NOTHING>(
  roles: readonly Role[],
  spec: Spec<Given<z.output<Q>, z.output<B>> & { readonly caller: Caller }, A> & Inputs<Q, B>,
): ControlRoute {
  const { act, query = NOTHING, body = NOTHING, status = 200, ...rest } = spec;
  const run: ControlRoute["run"] = async (operations, { caller, ...asked }) => {
    if (caller === null || !roles.includes(caller.role)) throw new TypeError(`${spec.name} was reached by nobody who may`);
    return act(operations, { ...asked, caller, query: query.parse(asked.query) as z.output<Q>, body: bodyOf<B>(body, asked.body) });
  };
  return { ...rest, status, roles, query, body, run };
}

/** A route that needs no credential. */
export function openRoute<A extends z.ZodType, B extends z.ZodType>(
  spec: Spec<Given<object, z.output<B>>, A> & { readonly body: B },
): ControlRoute {
  const { act, body, status = 200, ...rest } = spec;
  const run: ControlRoute["run"] = async (operations, { caller: _caller, ...asked }) =>
    act(operations, { ...asked, query: NOTHING.parse(asked.query), body: bodyOf<B>(body, asked.body) });
  return { ...rest, status, roles: "anyone", query: NOTHING, body, run };
}

function bodyOf<B extends z.ZodType>(schema: z.ZodType, given: unknown): z.output<B> {
  return schema.parse(given === undefined ? {} : given) as z.output<B>;
}
