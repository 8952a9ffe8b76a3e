/** Signing in with a token, and out again. */
import { isoOf } from "../../basics/iso-time.ts";
import * as z from "zod";
import { ROLES } from "./caller.ts";
import type { Caller } from "./caller.ts";
import type { Authenticator } from "./authenticator.ts";
import { Refusal } from "../http/refusal.ts";
import { sessionCookie } from "./sessions.ts";
import { time } from "../http/shapes.ts";

export const SignIn = z.strictObject({ token: z.string().min(1).max(256) });

export const SessionShape = z.strictObject({
  actor: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  account_id: z.string().nullable(),
  expires_at: time.nullable(),
});
export const SignedOutShape = z.strictObject({ signed_out: z.literal(true) });

type SessionView = z.output<typeof SessionShape>;

interface Reply {
  readonly address: string | null;
  setHeader(name: string, value: string): void;
}

export class SessionOperations {
  readonly #authenticator: Authenticator;
  readonly #isSecure: boolean;

  /** @param isSecure the relay is reached over TLS: on loopback it is not. */
  constructor(authenticator: Authenticator, isSecure: boolean) {
    this.#authenticator = authenticator;
    this.#isSecure = isSecure;
  }

  async signIn({ token }: z.output<typeof SignIn>, reply: Reply): Promise<SessionView> {
    const now = Date.now();
    const who = await this.#authenticator.recognise(token, reply.address ?? "", now);
    if (who instanceof Refusal) throw who;
    const { secret, endsAtMs } = this.#authenticator.sessions.open(who.actor, now);
    reply.setHeader("set-cookie", sessionCookie(secret, this.#isSecure));
    return { actor: who.actor, name: who.name, role: who.role, account_id: who.accountId, expires_at: isoOf(endsAtMs) };
  }

  /** Shows who the caller is. Without a session there is no time when it ends. */
  show({ actor, name, role, accountId, session }: Caller): SessionView {
    const endsAtMs = session === null ? null : this.#authenticator.sessions.endOf(session);
    return { actor, name, role, account_id: accountId, expires_at: isoOf(endsAtMs) };
  }

  signOut(caller: Caller, reply: Reply): z.output<typeof SignedOutShape> {
    if (caller.session !== null) this.#authenticator.sessions.close(caller.session);
    reply.setHeader("set-cookie", sessionCookie("", this.#isSecure));
    return { signed_out: true };
  }
}
