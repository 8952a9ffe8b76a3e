/** The account of a single user. It is unmetered and exists from the first start. */
import { DEFAULT_ACCOUNT } from "./accounts.ts";
import type { AccountRegistry } from "./accounts.ts";

export async function ensureDefaultAccount(accounts: AccountRegistry): Promise<void> {
  if (accounts.get(DEFAULT_ACCOUNT) !== undefined) return;
  await accounts.insert({ id: DEFAULT_ACCOUNT, name: "default", isMetered: false, tier: null, status: "active", createdAt: Date.now() });
}
