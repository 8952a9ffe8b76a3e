/** Accounts. */
import { AccountChange, AccountShape, NewAccount, NewAccountShape } from "../../resources/accounts.ts";
import { PageInput, pageShape } from "../page.ts";
import { API, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { ALL, STAFF } from "./roles.ts";

export const ACCOUNTS: readonly ControlRoute[] = [
  route(ALL, {
    name: "listAccounts",
    method: "GET",
    path: `${API}/accounts`,
    summary: "Accounts, oldest first.",
    query: PageInput,
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
