/** Reads a client's key from a request, whichever header carries it. Nothing else reads it. */
import { isUtf8 } from "node:buffer";
import { normaliseKey } from "../basics/normalise-key.ts";

export type Credential =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly code: "key_missing" | "key_malformed"; readonly message: string };

export interface CredentialHeaders {
  readonly authorization?: string | undefined;
  readonly "x-api-key"?: string | string[] | undefined;
  readonly "api-key"?: string | string[] | undefined;
}

/** `Authorization: Bearer`, else `x-api-key`, else `api-key`; without what people paste around a key. */
export function readCredential(headers: CredentialHeaders): Credential {
  const found = headers.authorization || headers["x-api-key"] || headers["api-key"];
  if (typeof found === "object") return malformed("The request has more than one key.");
  const text = asTyped(found ?? "");
  if (/^\s*(?:bearer)?\s*$/i.test(text))
    return { ok: false, code: "key_missing", message: "Send your key as `Authorization: Bearer sk-...`." };
  // Noise before the scheme is removed too; another scheme is refused.
  if (found === headers.authorization && !/^[^\w]*(?:bearer[^\w:,]|sk-)/i.test(text))
    return malformed("Only the scheme Bearer is known: send `Authorization: Bearer sk-...`.");
  const result = normaliseKey(text);
  return "key" in result ? { ok: true, text: result.key } : malformed(`The key ${result.fault}.`);
}

function malformed(message: string): Credential {
  return { ok: false, code: "key_malformed", message };
}

/** Node reads header bytes as Latin-1, but pasted text arrives as UTF-8. */
function asTyped(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value)) return value;
  const bytes = Buffer.from(value, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : value;
}
