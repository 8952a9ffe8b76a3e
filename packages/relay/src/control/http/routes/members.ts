/** Members of the control plane. */
import { MemberChange, MemberShape, NewMember, NewMemberShape } from "../../resources/members.ts";
import { PageInput, pageShape } from "../page.ts";
import { API, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { OWNER } from "./roles.ts";

export const MEMBERS: readonly ControlRoute[] = [
  route(OWNER, {
    name: "listMembers",
    method: "GET",
    path: `${API}/members`,
    summary: "Members without their tokens, oldest first.",
    query: PageInput,
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
