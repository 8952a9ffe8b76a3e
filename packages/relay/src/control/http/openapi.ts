/** The OpenAPI 3.1 document, made from the table of routes. */
import * as z from "zod";
import type { ControlRoute } from "./route.ts";

type Json = Record<string, unknown>;

const ERROR = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "param", "code", "request_id"],
      properties: {
        message: { type: "string" },
        type: { type: "string" },
        param: { type: ["string", "null"] },
        code: { type: "string" },
        request_id: { type: "string" },
        mistakes: {
          type: "array",
          description: "Of a configuration that was refused.",
          items: { type: "object", properties: { place: { type: "string" }, message: { type: "string" } } },
        },
      },
    },
  },
};

const REFUSALS = {
  "400": "What was sent cannot be meant: the message says why.",
  "401": "No credential, or none that is known.",
  "403": "The role may not do this, or a session was used by another site.",
  "404": "There is no such id, or none that the caller may know of.",
  "413": "The body is too large.",
  "415": "The body is not plain JSON.",
  "421": "A relay on loopback was asked under another name.",
  "429": "Too many wrong credentials came from this address.",
  "503": "The database does not answer, or did not confirm a change.",
} as const;

type Status = keyof typeof REFUSALS;

export function openApi(routes: readonly ControlRoute[]): Json {
  const paths = Map.groupBy(routes, (route) => route.path);
  return {
    openapi: "3.1.0",
    info: {
      title: "Millrace control API",
      version: "0.1.0",
      description: "Accounts, keys, money and members of a Millrace relay. Money is decimal text in USD, and nano-USD as text beside it.",
    },
    paths: Object.fromEntries([...paths].map(([path, here]) => [path, pathItem(here)])),
    components: {
      schemas: { Error: ERROR },
      responses: Object.fromEntries(Object.entries(REFUSALS).map(([status, description]) => [`Refused${status}`, refusal(description)])),
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "The owner's token, or a member's: `mra_...`." },
        session: { type: "apiKey", in: "cookie", name: "millrace_session", description: "Made by signing in." },
      },
    },
    security: [{ token: [] }, { session: [] }],
  };
}

function refusal(description: string): Json {
  return { description, content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } } };
}

function pathItem(routes: readonly ControlRoute[]): Json {
  return Object.fromEntries(routes.map((route) => [route.method.toLowerCase(), operation(route)]));
}

function operation(route: ControlRoute): Json {
  const { name, summary, roles, status } = route;
  const takesBody = route.method === "POST" || route.method === "PATCH";
  const body = { requestBody: { content: { "application/json": { schema: schemaOf(route.body, "input") } } } };
  return {
    operationId: name,
    summary,
    tags: [tagOf(route)],
    ...(roles === "anyone" ? { security: [] } : { "x-roles": roles }),
    parameters: [...pathParameters(route), ...queryParameters(route)],
    ...(takesBody ? body : {}),
    responses: { [status]: answer(route), ...refusals(route, takesBody) },
  };
}

function answer(route: ControlRoute): Json {
  return {
    description: route.summary,
    ...(route.name === "signIn" ? { headers: { "set-cookie": { schema: { type: "string" } } } } : {}),
    content: { "application/json": { schema: schemaOf(route.answer, "output") } },
  };
}

function refusals(route: ControlRoute, takesBody: boolean): Json {
  const statuses: Status[] = ["400", "401", "403", "421", "429", "503"];
  if (route.path.includes("{id}")) statuses.push("404");
  if (takesBody) statuses.push("413", "415");
  return Object.fromEntries(statuses.toSorted().map((status) => [status, { $ref: `#/components/responses/Refused${status}` }]));
}

/** The word after `/admin/api/`. */
function tagOf({ path }: ControlRoute): string {
  return path.split("/")[3] ?? "";
}

function pathParameters({ path }: ControlRoute): Json[] {
  if (!path.includes("{id}")) return [];
  return [{ name: "id", in: "path", required: true, schema: { type: "string", pattern: "^\\w{1,64}$" } }];
}

function queryParameters({ query }: ControlRoute): Json[] {
  const { properties = {}, required = [] } = schemaOf(query, "input") as { properties?: Record<string, Json>; required?: string[] };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", required: required.includes(name), schema }));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
