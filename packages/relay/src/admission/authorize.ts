/** May this key do this? Account status, endpoints, addresses and models, in one place for every endpoint. */
import type { BlockList } from "node:net";
import { isInNetworks, networkList } from "../basics/network.ts";
import type { Account } from "./accounts.ts";
import type { KeyRecord } from "./keys.ts";

/** What a key can be limited to; the endpoints of the data plane by their names. */
export const SCOPES = ["chat", "completions", "embeddings", "models", "balance", "requests"] as const;

export type Scope = (typeof SCOPES)[number];

export type GrantVerdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: "account_suspended" | "scope_not_allowed" | "ip_not_allowed"; readonly message: string };

const YES: GrantVerdict = { ok: true };

/** @param address the client's address as the socket has it. */
export function mayUse(account: Account | undefined, key: KeyRecord, scope: Scope, address: string | undefined): GrantVerdict {
  if (account?.status !== "active") return no("account_suspended", "This account is suspended or closed.");
  if (key.scopes !== null && !key.scopes.includes(scope)) return no("scope_not_allowed", `This key may not use ${scope}.`);
  if (key.addresses !== null && !isListed(key.addresses, address))
    return no("ip_not_allowed", "This key may not be used from this address.");
  return YES;
}

export function mayUseModel(key: KeyRecord, model: string): boolean {
  return key.models === null || key.models.includes(model);
}

function no(code: Exclude<GrantVerdict, { ok: true }>["code"], message: string): GrantVerdict {
  return { ok: false, code, message };
}

const lists = new WeakMap<readonly string[], BlockList>();

/** One look-up list per key's addresses, made when first used. */
function isListed(addresses: readonly string[], address: string | undefined): boolean {
  if (address === undefined) return false;
  let list = lists.get(addresses);
  if (list === undefined) lists.set(addresses, (list = networkList(addresses)));
  return isInNetworks(list, address);
}
