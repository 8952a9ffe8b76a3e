/** Keeps the sessions of cookies in the memory of this process, bounded in time and number. They end with the process. */
import { HOUR_MS } from "@millrace/wire/duration";
import { randomBytes } from "node:crypto";
import { sha256 } from "../../admission/token.ts";

const LIFETIME_MS = 8 * HOUR_MS;
const SESSIONS_MAX = 1_000;
const PER_ACTOR_MAX = 20;

const COOKIE = "millrace_session";
const COOKIE_PATTERN = /(?:^|;\s*)millrace_session=([\w-]{43})(?=;|$)/;

interface Session {
  /** `owner`, or the id of a member. Each request looks up who that is now. */
  readonly actor: string;
  readonly endsAtMs: number;
}

export class Sessions {
  /** By the hash of the secret, oldest first. */
  readonly #sessions = new Map<string, Session>();

  /** Opens a session. If there are too many, the oldest of the same actor, and of all, end. */
  open(actor: string, nowMs: number): { readonly secret: string; readonly endsAtMs: number } {
    this.#sweep(nowMs);
    const own = [...this.#sessions].filter(([, session]) => session.actor === actor);
    for (const [id] of own.slice(0, Math.max(0, own.length - PER_ACTOR_MAX + 1))) this.#sessions.delete(id);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= SESSIONS_MAX && oldest !== undefined) this.#sessions.delete(oldest);
    const secret = randomBytes(32).toString("base64url");
    const endsAtMs = nowMs + LIFETIME_MS;
    this.#sessions.set(idOf(secret), { actor, endsAtMs });
    return { secret, endsAtMs };
  }

  /** The session of a cookie's secret: its id and whose it is. */
  find(secret: string, nowMs: number): { readonly id: string; readonly actor: string; readonly endsAtMs: number } | null {
    const id = idOf(secret);
    const session = this.#sessions.get(id);
    return session === undefined || session.endsAtMs <= nowMs ? null : { id, ...session };
  }

  /** When a session that was found ends. */
  endOf(id: string): number | null {
    return this.#sessions.get(id)?.endsAtMs ?? null;
  }

  close(id: string): void {
    this.#sessions.delete(id);
  }

  get size(): number {
    return this.#sessions.size;
  }

  #sweep(nowMs: number): void {
    for (const [id, session] of this.#sessions) if (session.endsAtMs <= nowMs) this.#sessions.delete(id);
  }
}

/** The secret is kept as its hash, like every other credential. */
function idOf(secret: string): string {
  return sha256(secret).toString("base64url");
}

/** The session's secret in a `Cookie` header, or null. */
export function secretIn(cookies: string | undefined): string | null {
  return COOKIE_PATTERN.exec(cookies ?? "")?.[1] ?? null;
}

/**
 * The `Set-Cookie` header. Scripts cannot read the cookie, other sites cannot send it, and it goes only to the control plane.
 * An empty secret deletes it.
 */
export function sessionCookie(secret: string, isSecure: boolean): string {
  const seconds = secret === "" ? 0 : LIFETIME_MS / 1000;
  return `${COOKIE}=${secret}; Path=/admin; HttpOnly; SameSite=Strict; Max-Age=${seconds}${isSecure ? "; Secure" : ""}`;
}
