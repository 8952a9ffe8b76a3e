/** Finds who a credential belongs to: the owner's token, a member's token, or the cookie of a session. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { sha256 } from "../../admission/token.ts";
import type { Caller } from "./caller.ts";
import { FailedAttempts } from "./failed-attempts.ts";
import { isMemberToken, tokenHash } from "./member.ts";
import type { Member } from "./member.ts";
import { Refusal } from "../http/refusal.ts";
import { secretIn, Sessions } from "./sessions.ts";

export interface AuthenticatorParts {
  /** `MILLRACE_ADMIN_TOKEN`; null where only members may come in. */
  readonly adminToken: () => string | null;
  /** The authenticator asks the store at every request, so that a change of a member takes effect at once, on every relay of a database. */
  readonly members: {
    memberById(id: string): Promise<Member | null>;
    memberBySha256(sha256: string): Promise<Member | null>;
  };
}

type Who = Pick<Caller, "role" | "actor" | "name" | "accountId">;

const ROOT: Who = { role: "owner", actor: "owner", name: "owner", accountId: null };

export class Authenticator {
  readonly sessions: Sessions = new Sessions();
  readonly #failed = new FailedAttempts();
  readonly #parts: AuthenticatorParts;

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts;
  }

  /** Finds who sent the request. Only `Authorization: Bearer` and the cookie carry a credential; if both do, `Authorization` counts. */
  async identify(request: IncomingMessage, address: string, nowMs: number): Promise<Caller | Refusal> {
    const { authorization, cookie } = request.headers;
    if (authorization === undefined) {
      const secret = secretIn(cookie);
      if (secret === null) return this.#unknown("key_missing");
      // Do not count this as a failed attempt: an ended session is not a guess, and guessing one is hopeless.
      return (await this.#ofSession(secret, address, nowMs)) ?? this.#unknown("key_invalid");
    }
    const token = /^Bearer\s+(\S+)\s*$/i.exec(authorization)?.[1] ?? "";
    const who = await this.recognise(token, address, nowMs);
    return who instanceof Refusal ? who : { ...who, address, session: null };
  }

  /** Whose token this is. It counts refusals; an address that was refused too often must wait, whatever its token. */
  async recognise(token: string, address: string, nowMs: number): Promise<Who | Refusal> {
    const wait = this.#failed.waitOf(address, nowMs);
    if (wait !== null)
      return new Refusal("rate_limited", `Too many wrong credentials came from this address. Try again in ${wait} s.`, {
        "retry-after": String(wait),
      });
    const who = this.#isRoot(token) ? ROOT : await this.#memberOf(token);
    if (who !== null) return who;
    this.#failed.note(address, nowMs);
    return this.#unknown("key_invalid");
  }

  #isRoot(token: string): boolean {
    const adminToken = this.#parts.adminToken();
    return adminToken !== null && timingSafeEqual(sha256(token), sha256(adminToken));
  }

  async #memberOf(token: string): Promise<Who | null> {
    return isMemberToken(token) ? whoIs(await this.#parts.members.memberBySha256(tokenHash(token))) : null;
  }

  async #ofSession(secret: string, address: string, nowMs: number): Promise<Caller | null> {
    const session = this.sessions.find(secret, nowMs);
    if (session === null) return null;
    const who = session.actor === ROOT.actor ? ROOT : whoIs(await this.#parts.members.memberById(session.actor));
    if (who === null) this.sessions.close(session.id);
    return who === null ? null : { ...who, address, session: session.id };
  }

  #unknown(code: "key_missing" | "key_invalid"): Refusal {
    const hint =
      this.#parts.adminToken() === null
        ? "Send a member's token as `Authorization: Bearer mra_...`, or start the relay with MILLRACE_ADMIN_TOKEN to be its owner."
        : "Send the owner's token or a member's as `Authorization: Bearer mra_...`.";
    return new Refusal(code, hint, { "www-authenticate": "Bearer" });
  }
}

function whoIs(member: Member | null): Who | null {
  if (member === null || member.revokedAt !== null) return null;
  return { role: member.role, actor: member.id, name: member.name, accountId: member.accountId };
}
