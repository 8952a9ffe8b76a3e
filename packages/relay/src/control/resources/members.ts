/** Members: who else may use the control plane, and in which role. */
import { isoOf } from "../../basics/iso-time.ts";
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import type { Accounts } from "./accounts.ts";
import { ROLES } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { Overtaken, untilFirst } from "../changes.ts";
import type { Changes } from "../changes.ts";
import { newMember } from "../access/member.ts";
import type { Member } from "../access/member.ts";
import { MOMENT, pageOf, sliceOf } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import type { ControlStore } from "../ports.ts";
import { Refusal } from "../http/refusal.ts";
import { name, time, unknownId } from "../http/shapes.ts";

const role = z.enum(ROLES);

/** `account_id` belongs to the role `member`, and to no other. */
export const NewMember = z.strictObject({ name, role, account_id: z.string().nullable().default(null) });
export const MemberChange = z.strictObject({ name: name.optional(), role: role.optional(), account_id: z.string().nullable().optional() });

export const MemberShape = z.strictObject({
  id: z.string(),
  name: z.string(),
  role,
  account_id: z.string().nullable(),
  hint: z.string(),
  created_at: time,
  revoked_at: time.nullable(),
});
/** With the token, which no other answer has. */
export const NewMemberShape = MemberShape.extend({ token: z.string() });

type MemberView = z.output<typeof MemberShape>;

export interface MembersParts {
  readonly store: Pick<ControlStore, "memberById" | "members">;
  readonly accounts: Accounts;
  readonly changes: Changes;
}

export class Members {
  readonly #parts: MembersParts;

  constructor(parts: MembersParts) {
    this.#parts = parts;
  }

  async list(wish: PageQuery): Promise<Page<MemberView>> {
    const rows = await this.#parts.store.members(sliceOf(wish, MOMENT));
    return pageOf(rows, wish, MOMENT, ({ createdAt, id }) => ({ atMs: createdAt, id }), shownMember);
  }

  async show(id: string): Promise<MemberView> {
    return shownMember(await this.#find(id));
  }

  async create(caller: Caller, wish: z.output<typeof NewMember>): Promise<z.output<typeof NewMemberShape>> {
    this.#checkAccount(caller, wish.role, wish.account_id);
    const { token, member } = newMember(wish.name, wish.role, wish.account_id, Date.now());
    const shown = shownMember(member);
    const note = { action: "member.create", target: member.id, before: null, after: shown };
    await this.#parts.changes.write(caller, note, [{ kind: "member", member, before: null }]);
    return { ...shown, token };
  }

  change(caller: Caller, id: string, wish: z.output<typeof MemberChange>): Promise<MemberView> {
    return untilFirst(() => this.#change(caller, id, wish));
  }

  async #change(caller: Caller, id: string, wish: z.output<typeof MemberChange>): Promise<MemberView> {
    const member = await this.#find(id);
    if (member.revokedAt !== null) throw new Refusal("invalid_request", "A revoked member stays as it is.");
    const changed: Member = {
      ...member,
      name: wish.name ?? member.name,
      role: wish.role ?? member.role,
      accountId: accountAfter(member, wish),
    };
    this.#checkAccount(caller, changed.role, changed.accountId);
    return this.#update(caller, "member.change", member, changed);
  }

  /** Revokes a member, with its token and its sessions. A second call changes nothing: the time of the first one stays. */
  revoke(caller: Caller, id: string): Promise<MemberView> {
    return untilFirst(() => this.#revoke(caller, id));
  }

  async #revoke(caller: Caller, id: string): Promise<MemberView> {
    const member = await this.#find(id);
    if (member.revokedAt !== null) return shownMember(member);
    return this.#update(caller, "member.revoke", member, { ...member, revokedAt: Date.now() });
  }

  async #update(caller: Caller, action: string, before: Member, member: Member): Promise<MemberView> {
    const after = shownMember(member);
    const note = { action, target: member.id, before: shownMember(before), after };
    await this.#parts.changes.write(caller, note, [{ kind: "member", member, before }], async () =>
      isDeepStrictEqual(await this.#find(member.id), before) ? null : new Overtaken(),
    );
    return after;
  }

  async #find(id: string): Promise<Member> {
    const member = await this.#parts.store.memberById(id);
    if (member === null) throw unknownId("member", id);
    return member;
  }

  #checkAccount(caller: Caller, given: Member["role"], accountId: string | null): void {
    if (given !== "member" && accountId !== null)
      throw new Refusal("invalid_request", `The role ${given} covers all accounts: leave account_id out.`);
    if (given === "member" && (accountId === null || this.#parts.accounts.get(caller, accountId) === null))
      throw new Refusal("invalid_request", "The role member needs the account_id of an account.");
  }
}

/** A member that gets another role than `member` loses its account. */
function accountAfter(member: Member, wish: z.output<typeof MemberChange>): string | null {
  if (wish.account_id !== undefined) return wish.account_id;
  return (wish.role ?? member.role) === "member" ? member.accountId : null;
}

function shownMember({ id, name: memberName, role: memberRole, accountId, hint, createdAt, revokedAt }: Member): MemberView {
  return {
    id,
    name: memberName,
    role: memberRole,
    account_id: accountId,
    hint,
    created_at: isoOf(createdAt),
    revoked_at: isoOf(revokedAt),
  };
}
