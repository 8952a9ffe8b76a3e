/** The OpenAPI document says what there is, and every real answer is as it says. */
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { ROUTES } from "../../src/control/http/routes.ts";
import { call, MESSAGES } from "../support/call.ts";
import { PRICES, TIERS } from "./configured.ts";
import { dataOf, jsonOf, startControlPlane } from "./control-plane.ts";
import type { ControlPlane, Json } from "./control-plane.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security?: unknown[];
  readonly parameters: { name: string; in: string; required: boolean; schema: Json }[];
  readonly requestBody?: { content: Record<string, { schema: Json }> };
  readonly responses: Record<string, { $ref?: string; description?: string; content?: Record<string, { schema: Json }> }>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { schemas: Json; responses: Json; securitySchemes: Json };
}

let plane: ControlPlane;
let document: Document;
/** A request for each operation that gets its good answer. */
let asks: Readonly<Record<string, readonly [path: string, body?: unknown]>>;

beforeAll(async () => {
  plane = await startControlPlane({ limits: TIERS, prices: PRICES });
  const { made, relay } = plane;
  document = (await made("GET", "openapi.json")) as unknown as Document;
  const account = String((await made("POST", "accounts", { name: "shop", metered: true, tier: "gold" }))["id"]);
  await made("POST", `accounts/${account}/credits`, { amount: "5.00", reason: "hello", reference: "r1" });
  const limits = { rpm: 100, tpm: null, in_flight: 3 };
  const { id: key, key: text } = await made("POST", "keys", { account_id: account, limits, budgets: [{ period: "total", cap: "3.00" }] });
  for (const stream of [true, false])
    await call({ port: relay.port, key: String(text) }, { body: { model: "m", stream, max_tokens: 10, messages: MESSAGES } });
  const poor = (await made("POST", "accounts", { name: "poor", metered: true }))["id"];
  await made("POST", `accounts/${String(poor)}/credits`, { amount: "1.00", reason: "hello", reference: "poor" });
  const { key: poorText } = await made("POST", "keys", { account_id: poor });
  relay.simulators["a"]?.setScenario({ text: "yes", tokens: { prompt: 5_000, completion: 5_000 } });
  await call({ port: relay.port, key: String(poorText) }, { body: { model: "m", max_tokens: 10, messages: MESSAGES } });
  await relay.row(3);
  const member = String((await made("POST", "members", { name: "eve", role: "member", account_id: account }))["id"]);
  const old = String((await made("POST", "keys", {}))["id"]);
  const [request] = dataOf(await made("GET", "requests"));
  asks = {
    signIn: ["session", { token: "TOKEN" }],
    whoAmI: ["session"],
    signOut: ["session"],
    reload: ["reload"],
    listAccounts: ["accounts"],
    createAccount: ["accounts", { name: "another", metered: true }],
    showAccount: [`accounts/${account}`],
    changeAccount: [`accounts/${account}`, { tier: null }],
    showBalance: [`accounts/${account}/balance`],
    listCredits: [`accounts/${account}/credits`],
    grantCredit: [`accounts/${account}/credits`, { amount: "1.00", reason: "x", reference: "r2", expires_at: "2099-01-01T00:00:00+01:00" }],
    adjustBalance: [`accounts/${account}/adjustments`, { amount: "-0.5", reason: "x", reference: "r3" }],
    listLedger: [`accounts/${account}/ledger`],
    showStatement: [`accounts/${account}/statement`],
    listKeys: ["keys"],
    createKey: ["keys", { scopes: ["chat"], addresses: ["::1"], models: ["m"], expires_at: "2099-01-01T00:00:00Z" }],
    showKey: [`keys/${String(key)}`],
    changeKey: [`keys/${String(key)}`, { budgets: [{ period: "day", cap: "0.50" }] }],
    revokeKey: [`keys/${old}`],
    rotateKey: [`keys/${String(key)}/rotate`, { overlap_seconds: 0 }],
    listMembers: ["members"],
    createMember: ["members", { name: "op", role: "operator" }],
    showMember: [`members/${member}`],
    changeMember: [`members/${member}`, { name: "adam" }],
    revokeMember: [`members/${member}`],
    listRequests: ["requests"],
    showRequest: [`requests/${String(request?.["id"])}`],
    listUsage: ["usage?every=hour&by=upstream"],
    listWriteOffs: ["write-offs"],
    listUpstreamUsage: ["upstream-usage?upstream=a"],
    listPrices: ["prices"],
    listTiers: ["tiers"],
    listAudit: ["audit"],
    showOpenApi: ["openapi.json"],
  };
});
afterAll(() => plane.close());

function schemaOf(schema: Json): z.ZodType {
  return z.fromJSONSchema({ $schema: "https://json-schema.org/draft/2020-12/schema", ...schema });
}

const operations = (): [path: string, method: string, operation: Operation][] =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, string, Operation] => [path, method, operation]),
  );

test("the document has every route of the table, and no other", () => {
  const said = operations().map(([path, method, { operationId }]) => `${operationId} ${method.toUpperCase()} ${path}`);
  expect(said.toSorted()).toEqual(ROUTES.map((route) => `${route.name} ${route.method} ${route.path}`).toSorted());
  expect(new Set(ROUTES.map((route) => route.name)).size).toBe(ROUTES.length);
});

test("the document is built as OpenAPI 3.1 wants it", () => {
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.components.securitySchemes)).toEqual(["token", "session"]);
  for (const [path, method, operation] of operations()) {
    const place = `${method} ${path}`;
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    expect([place, operation.parameters.filter((parameter) => parameter.in === "path").map((parameter) => parameter.name)]).toEqual([
      place,
      named,
    ]);
    expect([place, Object.keys(operation.responses).filter((status) => status < "300").length]).toEqual([place, 1]);
    expect([place, operation.requestBody !== undefined]).toEqual([place, method === "post" || method === "patch"]);
    for (const response of Object.values(operation.responses)) {
      const name = response.$ref?.replace("#/components/responses/", "");
      expect([place, name === undefined ? response.description !== undefined : name in document.components.responses]).toEqual([
        place,
        true,
      ]);
    }
    for (const parameter of operation.parameters)
      expect([place, parameter.name, typeof parameter.schema]).toEqual([place, parameter.name, "object"]);
  }
});

test("every good answer is as the document says", async () => {
  for (const [path, method, operation] of operations()) {
    const [target, body] = asks[operation.operationId] ?? ["?"];
    const token = operation.security?.length === 0 ? { token: "" } : {};
    const sent = operation.operationId === "signIn" ? { token: plane.token } : body;
    const answer = await plane.ask(method.toUpperCase(), target, { ...token, body: sent ?? null });
    const [status = "", response] = Object.entries(operation.responses).find(([each]) => each < "300") ?? [];
    expect([operation.operationId, String(answer.status), answer.status === Number(status) ? "" : answer.body]).toEqual([
      operation.operationId,
      status,
      "",
    ]);
    const parsed = schemaOf(response?.content?.["application/json"]?.schema ?? {}).safeParse(jsonOf(answer));
    expect([path, parsed.success, parsed.error?.issues]).toEqual([path, true, undefined]);
    if (answer.body.includes('"data":[')) expect([path, dataOf(jsonOf(answer)).length > 0]).toEqual([path, true]);
  }
});

test("what the document lets in and shuts out is what the routes take and refuse", async () => {
  const wrong: Readonly<Record<string, unknown>> = {
    createAccount: { name: "" },
    changeAccount: { status: "gone" },
    grantCredit: { amount: 5, reason: "x", reference: "y" },
    adjustBalance: { amount: "1.00" },
    createKey: { scopes: ["admin"] },
    changeKey: { limits: { rpm: 0 } },
    rotateKey: { overlap_seconds: -1 },
    createMember: { name: "x", role: "god" },
    changeMember: { role: 1 },
    signIn: {},
    reload: { file: "another.yaml" },
  };
  for (const [, method, operation] of operations().filter(([, , each]) => each.requestBody !== undefined)) {
    const { schema = {} } = operation.requestBody?.content["application/json"] ?? {};
    const { operationId } = operation;
    const [target, body] = asks[operationId] ?? ["?"];
    expect([operationId, schemaOf(schema).safeParse(body ?? {}).success]).toEqual([operationId, true]);
    expect([operationId, schemaOf(schema).safeParse(wrong[operationId]).success]).toEqual([operationId, false]);
    const answer = await plane.ask(method.toUpperCase(), target, { body: wrong[operationId] });
    expect([operationId, answer.status]).toEqual([operationId, 400]);
    expect(schemaOf(document.components.schemas["Error"] as Json).safeParse(jsonOf(answer)).success).toBe(true);
  }
});
