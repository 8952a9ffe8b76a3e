/** Signing in with a token, and out again. */
import * as z from "zod";
import { ROLES } from "./caller.ts";
import type { Caller } from "./caller.ts";
import type { Doorman } from "./doorman.ts";
import { Refusal } from "./refusal.ts";
import { sessionCookie } from "./sessions.ts";
import { isoOf, time } from "./shapes.ts";

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

export class SessionActs {
  readonly #doorman: Doorman;
  readonly #isSecure: boolean;

  /** @param isSecure the relay is reached over TLS: on loopback it is not. */
  constructor(doorman: Doorman, isSecure: boolean) {
    this.#doorman = doorman;
    this.#isSecure = isSecure;
  }

  async signIn({ token }: z.output<typeof SignIn>, reply: Reply): Promise<SessionView> {
    const now = Date.now();
    const who = await this.#doorman.recognise(token, reply.address ?? "", now);
    if (who instanceof Refusal) throw who;
    const { secret, endsAtMs } = this.#doorman.sessions.open(who.actor, now);
    reply.setHeader("set-cookie", sessionCookie(secret, this.#isSecure));
    return { actor: who.actor, name: who.name, role: who.role, account_id: who.accountId, expires_at: isoOf(endsAtMs) };
  }

  /** Who am I? Without a session there is no end to say. */
  show({ actor, name, role, accountId, session }: Caller): SessionView {
    const endsAtMs = session === null ? null : this.#doorman.sessions.endOf(session);
    return { actor, name, role, account_id: accountId, expires_at: isoOf(endsAtMs) };
  }

  signOut(caller: Caller, reply: Reply): z.output<typeof SignedOutShape> {
    if (caller.session !== null) this.#doorman.sessions.close(caller.session);
    reply.setHeader("set-cookie", sessionCookie("", this.#isSecure));
    return { signed_out: true };
  }
}
