import type { KeyRecord } from "../admission/keys.ts";

/** What may be shown of a key: never its text, never its hash. */
export function shown(key: KeyRecord): Record<string, unknown> {
  const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  return {
    id: key.id,
    account_id: key.accountId,
    name: key.name,
    hint: key.hint,
    created_at: time(key.createdAt),
    expires_at: time(key.expiresAt),
    revoked_at: time(key.revokedAt),
  };
}
