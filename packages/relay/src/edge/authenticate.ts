/** Whose request this is: the credential in its head, and the key behind it. */
import type { IncomingMessage } from "node:http";
import { readCredential } from "../admission/credential.ts";
import type { KeyRecord, KeyRing } from "../admission/keys.ts";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";

const KEY_MESSAGES: Readonly<Record<"key_malformed" | "key_invalid" | "key_revoked" | "key_expired", string>> = {
  key_malformed: "This cannot be a key of this relay: a key begins with sk-, and must be copied whole.",
  key_invalid: "This relay does not know this key.",
  key_revoked: "This key was revoked.",
  key_expired: "This key has expired.",
};

export type Authentication = { readonly ok: true; readonly key: KeyRecord } | { readonly ok: false; readonly error: RelayError };

/** @param mayLackKeys true while another relay may have made keys that are not known here. */
export function authenticate(request: IncomingMessage, keys: KeyRing, mayLackKeys: () => boolean): Authentication {
  const credential = readCredential(request.headers);
  if (!credential.ok) return { ok: false, error: relayError(credential.code, credential.message) };
  const verdict = keys.verify(credential.text, Date.now());
  if (verdict.ok) return verdict;
  if (verdict.code === "key_invalid" && mayLackKeys())
    return {
      ok: false,
      error: relayError("store_unavailable", "The relay cannot tell right now whether this key is good.", { retryAfterS: 5 }),
    };
  return { ok: false, error: relayError(verdict.code, KEY_MESSAGES[verdict.code]) };
}

/** The headers of a refused credential, which say how to send one. */
export function challengeOf({ code }: Pick<RelayError, "code">): Readonly<Record<string, string>> {
  return code.startsWith("key_") ? { "www-authenticate": "Bearer" } : {};
}
