/** The one function that reads a client's key from a request, whichever header carries it. */
import { normaliseKey } from "../config/normalise-key.ts";

export type Credential =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly code: "key_missing" | "key_malformed"; readonly message: string };

export interface CredentialHeaders {
  readonly authorization?: string | undefined;
  readonly "x-api-key"?: string | string[] | undefined;
  readonly "api-key"?: string | string[] | undefined;
}

/** `Authorization: Bearer`, else `x-api-key`, else `api-key`; freed of what people paste around a key. */
export function readCredential(headers: CredentialHeaders): Credential {
  const found = headers.authorization ?? headers["x-api-key"] ?? headers["api-key"];
  if (found === undefined || found === "")
    return { ok: false, code: "key_missing", message: "Send your key as `Authorization: Bearer sk-...`." };
  if (typeof found !== "string") return { ok: false, code: "key_malformed", message: "The key stands more than once." };
  if (headers.authorization !== undefined && !/^(?:bearer\s|sk-)/i.test(found.trim())) {
    return { ok: false, code: "key_malformed", message: "Only the scheme Bearer is known: send `Authorization: Bearer sk-...`." };
  }
  const result = normaliseKey(found);
  return "key" in result ? { ok: true, text: result.key } : { ok: false, code: "key_malformed", message: result.fault };
}
