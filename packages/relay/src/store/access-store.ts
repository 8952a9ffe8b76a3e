/** A store as admission keeps its records in it. */
import type { AccountStore } from "../admission/accounts.ts";
import type { KeyStore } from "../admission/keys.ts";
import type { Store } from "./store.ts";
import type { Write } from "./tables/writes.ts";

export function accessStore(store: Pick<Store, "write">): KeyStore & AccountStore {
  const write = async (one: Write): Promise<void> => {
    const failure = await store.write([one]);
    if (failure !== null) throw new Error(failure.reason);
  };
  return {
    insert: (key) => write({ kind: "key", key, before: null }),
    insertAccount: (account) => write({ kind: "account", account, before: null }),
  };
}
