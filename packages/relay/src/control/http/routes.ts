/** The table of the control plane. What is not in it does not exist. */
import * as z from "zod";
import { AccountChange, AccountShape, NewAccount, NewAccountShape } from "../resources/accounts.ts";
import { AuditShape } from "../resources/audit.ts";
import type { Role } from "../access/caller.ts";
import { KeyChange, KeyShape, NewKey, NewKeyShape, RotatedKeyShape, Rotation } from "../resources/keys.ts";
import { MemberChange, MemberShape, NewMember, NewMemberShape } from "../resources/members.ts";
import { Adjustment, BalanceShape, Grant, LotShape, StatementShape, StatementQuery, TransferShape } from "../resources/money.ts";
import { openApi } from "./openapi.ts";
import { pageShape, pageQuery } from "./page.ts";
import { listPrices, PriceShape } from "../resources/prices.ts";
import { RequestDetailShape, RequestShape, RequestsQuery } from "../resources/requests.ts";
import { openRoute, route } from "./route.ts";
import type { ControlRoute } from "./route.ts";
import { SessionShape, SignedOutShape, SignIn } from "../access/session-operations.ts";
import { listTiers, TierShape } from "../resources/tiers.ts";
import { UpstreamUsageShape, UpstreamUsageQuery } from "../resources/upstream-usage.ts";
import { UsageShape, UsageQuery } from "../resources/usage.ts";
import { WriteOffShape, WriteOffsQuery } from "../resources/write-offs.ts";

const OWNER: readonly Role[] = ["owner"];
const STAFF: readonly Role[] = ["owner", "operator"];
const READERS: readonly Role[] = ["owner", "operator", "viewer"];
/** Account members see their own account in these, and nothing of the others. */
const ALL: readonly Role[] = ["owner", "operator", "viewer", "member"];
const CUSTOMERS: readonly Role[] = ["owner", "operator", "member"];

const Page = z.strictObject(pageQuery);

const API = "/admin/api";

const SESSION: readonly ControlRoute[] = [
  openRoute({
    name: "signIn",
    method: "POST",
    path: `${API}/session`,
    summary: "Sign in: a token becomes a session cookie.",
    status: 201,
    body: SignIn,
    answer: SessionShape,
    act: (operations, { body, ...reply }) => operations.sessions.signIn(body, reply),
  }),
  route(ALL, {
    name: "whoAmI",
    method: "GET",
    path: `${API}/session`,
    summary: "Who the credential belongs to, and until when the session lasts.",
    answer: SessionShape,
    act: (operations, { caller }) => operations.sessions.show(caller),
  }),
  route(ALL, {
    name: "signOut",
    method: "DELETE",
    path: `${API}/session`,
    summary: "End the session.",
    answer: SignedOutShape,
    act: (operations, { caller, ...reply }) => operations.sessions.signOut(caller, reply),
  }),
];

const ACCOUNTS: readonly ControlRoute[] = [
  route(ALL, {
    name: "listAccounts",
    method: "GET",
    path: `${API}/accounts`,
    summary: "Accounts, oldest first.",
    query: Page,
    answer: pageShape(AccountShape),
    act: (operations, { caller, query }) => operations.accounts.list(caller, query),
  }),
  route(STAFF, {
    name: "createAccount",
    method: "POST",
    path: `${API}/accounts`,
    summary: "Make an account.",
    status: 201,
    body: NewAccount,
    answer: NewAccountShape,
    act: (operations, { caller, body }) => operations.accounts.create(caller, body),
  }),
  route(ALL, {
    name: "showAccount",
    method: "GET",
    path: `${API}/accounts/{id}`,
    summary: "One account.",
    answer: AccountShape,
    act: (operations, { caller, id }) => operations.accounts.show(caller, id),
  }),
  route(STAFF, {
    name: "changeAccount",
    method: "PATCH",
    path: `${API}/accounts/{id}`,
    summary: "Change an account's name, tier or status.",
    body: AccountChange,
    answer: AccountShape,
    act: (operations, { caller, id, body }) => operations.accounts.change(caller, id, body),
  }),
];

const MONEY: readonly ControlRoute[] = [
  route(ALL, {
    name: "showBalance",
    method: "GET",
    path: `${API}/accounts/{id}/balance`,
    summary: "What an account that pays has.",
    answer: BalanceShape,
    act: (operations, { caller, id }) => operations.money.balance(caller, id),
  }),
  route(ALL, {
    name: "listCredits",
    method: "GET",
    path: `${API}/accounts/{id}/credits`,
    summary: "Credits with what is left of each, newest first.",
    query: Page,
    answer: pageShape(LotShape),
    act: (operations, { caller, id, query }) => operations.money.lots(caller, id, query),
  }),
  route(STAFF, {
    name: "grantCredit",
    method: "POST",
    path: `${API}/accounts/{id}/credits`,
    summary: "Give credit. The same reference again changes nothing.",
    status: 201,
    body: Grant,
    answer: BalanceShape,
    act: (operations, { caller, id, body }) => operations.money.grant(caller, id, body),
  }),
  route(OWNER, {
    name: "adjustBalance",
    method: "POST",
    path: `${API}/accounts/{id}/adjustments`,
    summary: "Move a balance up or down by hand. The same reference again changes nothing.",
    status: 201,
    body: Adjustment,
    answer: BalanceShape,
    act: (operations, { caller, id, body }) => operations.money.adjust(caller, id, body),
  }),
  route(ALL, {
    name: "listLedger",
    method: "GET",
    path: `${API}/accounts/{id}/ledger`,
    summary: "Every transfer of an account, newest first.",
    query: Page,
    answer: pageShape(TransferShape),
    act: (operations, { caller, id, query }) => operations.money.transfers(caller, id, query),
  }),
  route(ALL, {
    name: "showStatement",
    method: "GET",
    path: `${API}/accounts/{id}/statement`,
    summary: "What there was, what came and went by its cause, what there is.",
    query: StatementQuery,
    answer: StatementShape,
    act: (operations, { caller, id, query }) => operations.money.statement(caller, id, query),
  }),
];

const KEYS: readonly ControlRoute[] = [
  route(ALL, {
    name: "listKeys",
    method: "GET",
    path: `${API}/keys`,
    summary: "Keys without their text, oldest first.",
    query: Page.extend({ account_id: z.string().max(100).optional() }),
    answer: pageShape(KeyShape),
    act: (operations, { caller, query }) => operations.keys.list(caller, query),
  }),
  route(CUSTOMERS, {
    name: "createKey",
    method: "POST",
    path: `${API}/keys`,
    summary: "Make a key. Its text is in this answer and nowhere else.",
    status: 201,
    body: NewKey,
    answer: NewKeyShape,
    act: (operations, { caller, body }) => operations.keys.create(caller, body),
  }),
  route(ALL, {
    name: "showKey",
    method: "GET",
    path: `${API}/keys/{id}`,
    summary: "One key, without its text.",
    answer: KeyShape,
    act: (operations, { caller, id }) => operations.keys.show(caller, id),
  }),
  route(CUSTOMERS, {
    name: "changeKey",
    method: "PATCH",
    path: `${API}/keys/{id}`,
    summary: "Change what a key is limited to.",
    body: KeyChange,
    answer: KeyShape,
    act: (operations, { caller, id, body }) => operations.keys.change(caller, id, body),
  }),
  route(CUSTOMERS, {
    name: "revokeKey",
    method: "DELETE",
    path: `${API}/keys/{id}`,
    summary: "End a key at once.",
    answer: KeyShape,
    act: (operations, { caller, id }) => operations.keys.revoke(caller, id),
  }),
  route(CUSTOMERS, {
    name: "rotateKey",
    method: "POST",
    path: `${API}/keys/{id}/rotate`,
    summary: "Make a new key with the limits of an old one, which ends later.",
    status: 201,
    body: Rotation,
    answer: RotatedKeyShape,
    act: (operations, { caller, id, body }) => operations.keys.rotate(caller, id, body.overlap_seconds),
  }),
];

const MEMBERS: readonly ControlRoute[] = [
  route(OWNER, {
    name: "listMembers",
    method: "GET",
    path: `${API}/members`,
    summary: "Members without their tokens, oldest first.",
    query: Page,
    answer: pageShape(MemberShape),
    act: (operations, { query }) => operations.members.list(query),
  }),
  route(OWNER, {
    name: "createMember",
    method: "POST",
    path: `${API}/members`,
    summary: "Make a member. The token is in this answer and nowhere else.",
    status: 201,
    body: NewMember,
    answer: NewMemberShape,
    act: (operations, { caller, body }) => operations.members.create(caller, body),
  }),
  route(OWNER, {
    name: "showMember",
    method: "GET",
    path: `${API}/members/{id}`,
    summary: "One member.",
    answer: MemberShape,
    act: (operations, { id }) => operations.members.show(id),
  }),
  route(OWNER, {
    name: "changeMember",
    method: "PATCH",
    path: `${API}/members/{id}`,
    summary: "Change a member's name, role or account.",
    body: MemberChange,
    answer: MemberShape,
    act: (operations, { caller, id, body }) => operations.members.change(caller, id, body),
  }),
  route(OWNER, {
    name: "revokeMember",
    method: "DELETE",
    path: `${API}/members/{id}`,
    summary: "End a member's token and sessions at once.",
    answer: MemberShape,
    act: (operations, { caller, id }) => operations.members.revoke(caller, id),
  }),
];

const INSIGHT: readonly ControlRoute[] = [
  route(ALL, {
    name: "listRequests",
    method: "GET",
    path: `${API}/requests`,
    summary: "Rows of requests, newest first.",
    query: RequestsQuery,
    answer: pageShape(RequestShape),
    act: (operations, { caller, query }) => operations.requests.list(caller, query),
  }),
  route(ALL, {
    name: "showRequest",
    method: "GET",
    path: `${API}/requests/{id}`,
    summary: "One request with its attempts and its receipt.",
    answer: RequestDetailShape,
    act: (operations, { caller, id }) => operations.requests.show(caller, id),
  }),
  route(ALL, {
    name: "listUsage",
    method: "GET",
    path: `${API}/usage`,
    summary: "Sums of requests by day or hour, and by account, key, model or upstream; oldest first.",
    query: UsageQuery,
    answer: pageShape(UsageShape),
    act: (operations, { caller, query }) => operations.usage.sums(caller, query),
  }),
  route(ALL, {
    name: "listWriteOffs",
    method: "GET",
    path: `${API}/write-offs`,
    summary: "Requests that cost more than could be taken, newest first.",
    query: WriteOffsQuery,
    answer: pageShape(WriteOffShape),
    act: (operations, { caller, query }) => operations.writeOffs.list(caller, query),
  }),
  route(READERS, {
    name: "listUpstreamUsage",
    method: "GET",
    path: `${API}/upstream-usage`,
    summary: "What all attempts at an upstream used, failed ones too, by UTC day and upstream model; oldest first.",
    query: UpstreamUsageQuery,
    answer: pageShape(UpstreamUsageShape),
    act: (operations, { query }) => operations.upstreamUsage.sums(query),
  }),
  route(READERS, {
    name: "listPrices",
    method: "GET",
    path: `${API}/prices`,
    summary: "What accounts pay for each model, and what each upstream costs.",
    query: Page,
    answer: pageShape(PriceShape),
    act: (operations, { query }) => listPrices(operations.pricing, query, Date.now()),
  }),
  route(READERS, {
    name: "listTiers",
    method: "GET",
    path: `${API}/tiers`,
    summary: "Tiers of limits, as the configuration names them.",
    query: Page,
    answer: pageShape(TierShape),
    act: (operations, { query }) => listTiers(operations.tiers, query),
  }),
  route(STAFF, {
    name: "listAudit",
    method: "GET",
    path: `${API}/audit`,
    summary: "Every change and who made it, newest first.",
    query: Page,
    answer: pageShape(AuditShape),
    act: (operations, { query }) => operations.audit.list(query),
  }),
];

const TABLE: readonly ControlRoute[] = [...SESSION, ...ACCOUNTS, ...MONEY, ...KEYS, ...MEMBERS, ...INSIGHT];

/** The document is one of its own routes. */
const DOCUMENT: ControlRoute = route(ALL, {
  name: "showOpenApi",
  method: "GET",
  path: `${API}/openapi.json`,
  summary: "This document.",
  answer: z.record(z.string(), z.unknown()),
  act: () => openApi([...TABLE, DOCUMENT]),
});

export const ROUTES: readonly ControlRoute[] = [...TABLE, DOCUMENT];
