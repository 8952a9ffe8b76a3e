/** Who calls the control plane, and in which role. */

/** `owner` may do everything; `member` sees only one account. */
export const ROLES = ["owner", "operator", "viewer", "member"] as const;

export type Role = (typeof ROLES)[number];

export interface Caller {
  readonly role: Role;
  /** `owner` for the token of the environment, `command` for the command on a data directory, else the id of a member. */
  readonly actor: string;
  readonly name: string;
  /** The one account of a `member`; null for the other roles. */
  readonly accountId: string | null;
  /** Where the request came from; null at a terminal. */
  readonly address: string | null;
  /** The session that the cookie names; null if the request has a token. */
  readonly session: string | null;
}

/** A person who can open the data directory can already change everything in it, so the command acts as the owner. */
export const COMMAND: Caller = { role: "owner", actor: "command", name: "command", accountId: null, address: null, session: null };

/** Whether this caller may know of an account and of what belongs to it. All else looks to the caller as if it did not exist. */
export function maySee(caller: Caller, accountId: string): boolean {
  return caller.role !== "member" || caller.accountId === accountId;
}

/**
 * The account that a list is about.
 * @param asked the account that the caller names, or undefined.
 * @returns undefined for all accounts, and null if the caller may not see the account: the list is then empty.
 */
export function accountOfList(caller: Caller, asked: string | undefined): string | undefined | null {
  if (asked !== undefined && !maySee(caller, asked)) return null;
  return caller.accountId ?? asked;
}
