/** Balances, credits, adjustments and what moved them. */
import { Adjustment, BalanceShape, Grant, LotShape, StatementShape, StatementQuery, TransferShape } from "../../resources/money.ts";
import { PageInput, pageShape } from "../page.ts";
import { API, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { ALL, OWNER, STAFF } from "./roles.ts";

export const MONEY: readonly ControlRoute[] = [
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
    query: PageInput,
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
    query: PageInput,
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
