/** The keys of each account that are not revoked, and so could call. */
import type { KeyRecord } from "./keys.ts";

export class LiveKeys {
  readonly #byAccount = new Map<string, Set<string>>();

  /** Notes the present state of a key. */
  note({ id, accountId, revokedAt }: KeyRecord): void {
    const keys = this.#byAccount.get(accountId) ?? new Set();
    if (revokedAt === null) keys.add(id);
    else keys.delete(id);
    if (keys.size > 0) this.#byAccount.set(accountId, keys);
    else this.#byAccount.delete(accountId);
  }

  /** How many accounts have a key that is not revoked. */
  get accounts(): number {
    return this.#byAccount.size;
  }

  /** How many keys of an account are not revoked. */
  keysOf(accountId: string): number {
    return this.#byAccount.get(accountId)?.size ?? 0;
  }
}
