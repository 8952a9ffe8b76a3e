/** Signing in and out. */
import { SessionShape, SignedOutShape, SignIn } from "../../access/session-operations.ts";
import { API, openRoute, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { ALL } from "./roles.ts";

export const SESSION: readonly ControlRoute[] = [
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
