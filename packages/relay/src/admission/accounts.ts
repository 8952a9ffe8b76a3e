/** The accounts, all of them in memory. The data plane reads accounts from here only. */
import { randomBytes } from "node:crypto";

/** `suspended` may be lifted again; `closed` is for good. */
type AccountStatus = "active" | "suspended" | "closed";

export interface Account {
  readonly id: string;
  /** Unique among accounts. */
  readonly name: string;
  /** Metered accounts pay from credit; the others only have their cost recorded. */
  readonly isMetered: boolean;
  /** Name of a tier of the configuration, or null for its default. */
  readonly tier: string | null;
  readonly status: AccountStatus;
  readonly createdAt: number;
}

/** The account that exists from the first start. */
export const DEFAULT_ACCOUNT = "default";

/** Keeps accounts. Adapters live in `store/`. */
export interface AccountStore {
  /** Resolves when it is on disk. */
  insertAccount(account: Account): Promise<void>;
}

export function newAccount(name: string, isMetered: boolean, tier: string | null, createdAt: number): Account {
  return { id: `acc_${randomBytes(10).toString("hex")}`, name, isMetered, tier, status: "active", createdAt };
}

export class AccountRegistry {
  readonly #byId = new Map<string, Account>();
  readonly #store: AccountStore;

  /** @param accounts what the store holds. */
  constructor(store: AccountStore, accounts: readonly Account[]) {
    this.#store = store;
    this.learn(accounts);
  }

  /** Replaces everything known here by the present content of the store. */
  learn(accounts: readonly Account[]): void {
    for (const account of accounts) this.#byId.set(account.id, account);
  }

  /** Applies a local change unless the store has already delivered it or a newer version. */
  renew(before: Account | null, account: Account): void {
    if ((this.#byId.get(account.id) ?? null) === before) this.learn([account]);
  }

  get(id: string): Account | undefined {
    return this.#byId.get(id);
  }

  /** In the order they were made. */
  list(): Account[] {
    return [...this.#byId.values()].toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  }

  isNameTaken(name: string): boolean {
    return this.list().some((account) => account.name === name);
  }

  async insert(account: Account): Promise<void> {
    await this.#store.insertAccount(account);
    this.#byId.set(account.id, account);
  }
}
