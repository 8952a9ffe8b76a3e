/** Members: people and programs that may use the control plane with a token of their own, seen once and stored as a hash. */
import { randomBytes } from "node:crypto";
import { hintOf, isTokenOf, newToken, sha256 } from "../../admission/token.ts";
import type { Role } from "./caller.ts";

const PREFIX = "mra_";

export interface Member {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** For the role `member`, and for no other. */
  readonly accountId: string | null;
  /** SHA-256 of the whole token, in hexadecimal. */
  readonly sha256: string;
  readonly hint: string;
  readonly createdAt: number;
  readonly revokedAt: number | null;
}

/** Makes a member and its token. The relay shows the token now and never again. */
export function newMember(name: string, role: Role, accountId: string | null, createdAt: number): { token: string; member: Member } {
  const token = newToken(PREFIX);
  const id = `mem_${randomBytes(10).toString("hex")}`;
  return { token, member: { id, name, role, accountId, sha256: tokenHash(token), hint: hintOf(token), createdAt, revokedAt: null } };
}

/** Whether a text can be a member's token. Only such a text is looked up. */
export function isMemberToken(text: string): boolean {
  return isTokenOf(PREFIX, text);
}

export function tokenHash(token: string): string {
  return sha256(token).toString("hex");
}
