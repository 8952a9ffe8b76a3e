/** Who may do what: every route by every method, for everybody, by every way to send a credential. The table says what is expected. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROUTES } from "../../src/control/http/routes.ts";
import { call, errorOf, MESSAGES, newAddress } from "../support/call.ts";
import type { Answer } from "../support/call.ts";
import { ADMIN_TOKEN } from "../support/start-relay.ts";
import { dataOf, jsonOf, OWN_PAGE, startControlPlane } from "./control-plane.ts";
import type { ControlCall, ControlPlane, Json } from "./control-plane.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
const CARRIERS = ["bearer", "cookie", "cookie from another site", "x-api-key", "query"] as const;

type Carrier = (typeof CARRIERS)[number];

interface Somebody {
  readonly token: string;
  /** Null: nobody who may come in. */
  readonly role: string | null;
  /** Of members of accounts: whether the ids in the addresses are of their account. */
  readonly isForeign?: boolean;
}

let plane: ControlPlane;
let everybody: Readonly<Record<string, Somebody>>;
/** What stands for `{id}`, by the address. All of it is of the account `shop`. */
let ids: Readonly<Record<string, string>>;

beforeAll(async () => {
  plane = await startControlPlane();
  const { made, relay } = plane;
  const shop = String((await made("POST", "accounts", { name: "shop", metered: true }))["id"]);
  const other = String((await made("POST", "accounts", { name: "other", metered: true }))["id"]);
  const { id: keyId, key } = await made("POST", "keys", { account_id: shop });
  // No price is set: what asks with a key of an account that pays is refused, and has its row.
  await call({ port: relay.port, key: String(key) }, { body: { model: "m", messages: MESSAGES } });
  await relay.row();
  const [request] = dataOf(await made("GET", `requests?account_id=${shop}`));
  const member = async (role: string, account_id: string | null = null): Promise<string> =>
    String((await made("POST", "members", { name: role, role, account_id }))["token"]);
  const gone = await made("POST", "members", { name: "gone", role: "owner" });
  await made("DELETE", `members/${String(gone["id"])}`);
  const target = await made("POST", "members", { name: "target", role: "viewer" });
  ids = { accounts: shop, keys: String(keyId), requests: String(request?.["id"]), members: String(target["id"]) };
  everybody = {
    nobody: { token: "", role: null },
    "a guess": { token: "mra_wrong-0123456789abcdefghijklmnopqrstuv", role: null },
    "the owner": { token: ADMIN_TOKEN, role: "owner" },
    "another owner": { token: await member("owner"), role: "owner" },
    "an operator": { token: await member("operator"), role: "operator" },
    "a viewer": { token: await member("viewer"), role: "viewer" },
    "a member of the account": { token: await member("member", shop), role: "member" },
    "a member of another account": { token: await member("member", other), role: "member", isForeign: true },
    "a revoked member": { token: String(gone["token"]), role: null },
    "a key of the data plane": { token: String(key), role: null },
  };
});
afterAll(() => plane.close());

const pathOf = (path: string): string => path.replace("/admin/api/", "").replace("{id}", ids[path.split("/")[3] ?? ""] ?? "");

/** What the table says: a status, or `allowed`, which is a good answer or a complaint about the empty body. */
function expected(path: string, method: string, who: Somebody, carrier: Carrier): number | "allowed" {
  const route = ROUTES.find((each) => each.path === path && each.method === method);
  const isForeignPage = carrier === "cookie from another site";
  if (route?.roles === "anyone") return isForeignPage ? 403 : "allowed";
  if (who.role === null || carrier === "x-api-key" || carrier === "query") return 401;
  if (route === undefined) return 405;
  if (!(route.roles as readonly string[]).includes(who.role) || isForeignPage) return 403;
  return who.isForeign === true && path.includes("{id}") ? 404 : "allowed";
}

async function settingsOf(who: Somebody, carrier: Carrier, cookie: string): Promise<{ query: string; settings: ControlCall }> {
  const from = who.role === null ? newAddress() : "127.0.0.1";
  switch (carrier) {
    case "bearer":
      return { query: "", settings: { token: who.token, from } };
    case "cookie":
      return { query: "", settings: { token: "", from, headers: { ...OWN_PAGE, cookie } } };
    case "cookie from another site":
      return {
        query: "",
        settings: { token: "", from, headers: { ...OWN_PAGE, "sec-fetch-site": "cross-site", origin: "https://evil.test", cookie } },
      };
    case "x-api-key":
      return {
        query: "",
        settings: { token: "", from, headers: who.token === "" ? {} : { "x-api-key": who.token, "api-key": who.token } },
      };
    case "query":
      return { query: `?token=${who.token}&key=${who.token}`, settings: { token: "", from } };
  }
}

function verdictOf({ status }: Answer): number | "allowed" {
  return status < 300 || status === 400 ? "allowed" : status;
}

const PATHS = [...new Set(ROUTES.map((route) => route.path))];

test.each(PATHS)("%s is for those that the table names, by a token or a session, and for nobody else", async (path) => {
  const wrong: string[] = [];
  for (const [name, who] of Object.entries(everybody)) {
    for (const method of METHODS) {
      for (const carrier of CARRIERS) {
        // Signing out ends the session, so each request has its own.
        const needsCookie = carrier.startsWith("cookie");
        const cookie = needsCookie && who.role !== null ? await plane.cookie(who.token) : `millrace_session=${"a".repeat(43)}`;
        const { query, settings } = await settingsOf(who, carrier, cookie);
        const body = method === "GET" || method === "DELETE" ? null : {};
        const answer = await plane.ask(method, pathOf(path) + query, { ...settings, body });
        const meant = expected(path, method, who, carrier);
        if (verdictOf(answer) !== meant) wrong.push(`${name} by ${carrier}: ${method} is ${answer.status}, not ${meant}: ${answer.body}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test("whatever was asked, only those who may have changed anything", async () => {
  const roles = new Map<string, Set<string>>();
  for (const { action, role } of await plane.all("audit")) {
    const known = roles.get(String(action)) ?? new Set<string>();
    roles.set(String(action), known.add(String(role)));
  }
  const meant: Readonly<Record<string, readonly string[]>> = {
    "account.change": ["owner", "operator"],
    "account.create": ["owner"],
    "key.create": ["owner", "operator", "member"],
    "key.revoke": ["owner"],
    "key.rotate": ["owner", "operator", "member"],
  };
  for (const [action, allowed] of Object.entries(meant))
    expect([action, [...(roles.get(action) ?? [])].filter((role) => !allowed.includes(role))]).toEqual([action, []]);
  for (const [action, used] of roles) if (action.startsWith("member.")) expect([...used]).toEqual(["owner"]);
});

test("what is another account's looks like what is not there", async () => {
  const token = everybody["a member of another account"]?.token ?? "";
  for (const route of ROUTES.filter((each) => each.path.includes("{id}") && each.roles.includes("member"))) {
    const place = pathOf(route.path);
    const id = ids[route.path.split("/")[3] ?? ""] ?? "";
    const unknown = `${id.slice(0, -6)}aaaaaa`;
    const settings = { token, body: route.method === "GET" || route.method === "DELETE" ? null : {} };
    const theirs = await plane.ask(route.method, place, settings);
    const nothing = await plane.ask(route.method, place.replace(id, unknown), settings);
    const withoutIds = (answer: Answer): string => errorOf(answer).message.replaceAll(id, "ID").replaceAll(unknown, "ID");
    expect([place, theirs.status, errorOf(theirs).code]).toEqual([place, 404, "route_unknown"]);
    expect([nothing.status, withoutIds(nothing)]).toEqual([theirs.status, withoutIds(theirs)]);
  }
});

test("a member sees its own account in every list, and cannot ask for another's", async () => {
  const token = everybody["a member of another account"]?.token ?? "";
  const shop = ids["accounts"] ?? "";
  const list = async (path: string): Promise<Json[]> => dataOf(jsonOf(await plane.ask("GET", path, { token })));
  expect((await list("accounts")).map((account) => account["name"])).toEqual(["other"]);
  expect((await list("keys")).filter((key) => key["account_id"] === shop)).toEqual([]);
  for (const path of [
    `keys?account_id=${shop}`,
    "requests",
    `requests?account_id=${shop}`,
    `write-offs?account_id=${shop}`,
    `usage?by=account&account_id=${shop}`,
  ])
    expect([path, await list(path)]).toEqual([path, []]);
  const elsewhere = await plane.ask("POST", "keys", { token, body: { account_id: shop } });
  expect([elsewhere.status, errorOf(elsewhere).message]).toEqual([400, `There is no account ${shop}.`]);
  const own = jsonOf(await plane.ask("POST", "keys", { token, body: { name: "mine" } }));
  expect((await list("keys")).map((key) => key["id"])).toContain(own["id"]);
});
