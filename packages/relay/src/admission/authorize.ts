/** Decides whether a key may do what it asks: account status, endpoints, addresses and models, in one place for every endpoint. */
import type { BlockList } from "node:net";
import { isInNetworks, networkList } from "../basics/network.ts";
import type { LimitsConfig } from "../config/config.ts";
import type { Account, AccountRegistry } from "./accounts.ts";
import type { KeyRecord, KeyRing } from "./keys.ts";
import { tierIn } from "./tiers.ts";

/** What a key can be limited to; the endpoints of the data plane by their names. */
export const SCOPES = ["chat", "completions", "embeddings", "models", "balance", "requests"] as const;

export type Scope = (typeof SCOPES)[number];

/** A key that may do what it asked for, and the account that it belongs to. */
export interface Grant {
  readonly key: KeyRecord;
  readonly account: Account;
}

export type GrantVerdict =
  | { readonly ok: true; readonly grant: Grant }
  | {
      readonly ok: false;
      readonly code: "key_revoked" | "account_suspended" | "scope_not_allowed" | "ip_not_allowed";
      readonly message: string;
    };

/** Looks up keys and accounts as they are now. */
export interface Known {
  readonly keys: Pick<KeyRing, "latest">;
  readonly accounts: Pick<AccountRegistry, "get">;
}

/**
 * Looks at the key and its account as they are now: both may have changed since the key was verified.
 * @param address the client's address, or undefined if its connection is gone.
 */
export function admit({ keys, accounts }: Known, given: KeyRecord, scope: Scope, address: string | undefined): GrantVerdict {
  const key = keys.latest(given);
  const account = accounts.get(key.accountId);
  if (key.revokedAt !== null) return no("key_revoked", "This key was revoked.");
  if (account?.status !== "active") return no("account_suspended", "This account is suspended or closed.");
  if (key.scopes !== null && !key.scopes.includes(scope)) return no("scope_not_allowed", `This key may not use ${scope}.`);
  if (key.addresses !== null && !isListed(key.addresses, address))
    return no("ip_not_allowed", "This key may not be used from this address.");
  return { ok: true, grant: { key, account } };
}

/** Both the key and its account's tier may name the models that they are for. @param limits of the request's configuration. */
export function mayUseModel({ key, account }: Grant, limits: LimitsConfig | null, model: string): boolean {
  const ofTier = tierIn(limits, account.tier)?.models ?? null;
  return (key.models === null || key.models.includes(model)) && (ofTier === null || ofTier.includes(model));
}

function no(code: Exclude<GrantVerdict, { ok: true }>["code"], message: string): GrantVerdict {
  return { ok: false, code, message };
}

const lists = new WeakMap<readonly string[], BlockList>();

/** One look-up list for each key's addresses. It is made when the key is first used. */
function isListed(addresses: readonly string[], address: string | undefined): boolean {
  if (address === undefined) return false;
  let list = lists.get(addresses);
  if (list === undefined) lists.set(addresses, (list = networkList(addresses)));
  return isInNetworks(list, address);
}
