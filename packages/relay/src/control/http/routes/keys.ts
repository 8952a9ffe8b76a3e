/** Keys of the data plane. */
import * as z from "zod";
import { KeyChange, KeyShape, NewKey, NewKeyShape, RotatedKeyShape, Rotation } from "../../resources/key-shapes.ts";
import { PageInput, pageShape } from "../page.ts";
import { API, route } from "../route.ts";
import type { ControlRoute } from "../route.ts";
import { ALL, CUSTOMERS } from "./roles.ts";

export const KEYS: readonly ControlRoute[] = [
  route(ALL, {
    name: "listKeys",
    method: "GET",
    path: `${API}/keys`,
    summary: "Keys without their text, oldest first.",
    query: PageInput.extend({ account_id: z.string().max(100).optional() }),
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
