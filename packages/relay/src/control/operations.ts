/**
 * What the control plane can do, as functions on checked input. The HTTP routes and the command on a data directory
 * both call these, so that neither can do what the other refuses.
 */
import { parseUsd } from "@millrace/wire/money";
import * as z from "zod";
import { DEFAULT_ACCOUNT, newAccount } from "../admission/accounts.ts";
import type { Account, AccountBook } from "../admission/accounts.ts";
import { SCOPES } from "../admission/grant.ts";
import { networkFault } from "../config/network.ts";
import { newKeyRecord } from "../admission/keys.ts";
import type { KeyRecord, KeyRing, KeyWishes } from "../admission/keys.ts";
import { readBalance, shownBalance } from "../ledger/balance.ts";
import type { LedgerPort } from "../ledger/balance.ts";
import { openWallet } from "../ledger/wallets.ts";
import { Refusal } from "./refusal.ts";

export type Shown = Readonly<Record<string, unknown>>;

export interface Page {
  readonly data: readonly Shown[];
  readonly next: string | null;
}

export interface OperationsParts {
  readonly ledger: LedgerPort;
  readonly accounts: AccountBook;
  readonly keys: KeyRing;
  /** Names of the configured tiers; null where the configuration is not known, and any name is taken. */
  readonly tiers: readonly string[] | null;
}

const PAGE_MAX = 500;
/** Before what was paid for (100). */
const GRANT_PRIORITY = 50;
const OVERLAP_S_MAX = 30 * 86_400;

const name = z.string().trim().min(1).max(100);
const instant = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
const address = z.string().refine((text) => networkFault(text) === null, { error: "write an address, or a network such as 10.0.0.0/8" });

const NewAccount = z.strictObject({ name, metered: z.boolean().default(false), tier: z.string().nullable().default(null) });
const AccountChange = z.strictObject({
  name: name.optional(),
  tier: z.string().nullable().optional(),
  status: z.enum(["active", "suspended", "closed"]).optional(),
});
const KeyLimits = {
  name: name.optional(),
  expires_at: instant.nullable().optional(),
  scopes: z.array(z.enum(SCOPES)).min(1).nullable().optional(),
  models: z.array(z.string().min(1).max(256)).min(1).max(1_000).nullable().optional(),
  addresses: z.array(address).min(1).max(100).nullable().optional(),
};
const NewKey = z.strictObject({ account_id: z.string().default(DEFAULT_ACCOUNT), ...KeyLimits });
const KeyChange = z.strictObject(KeyLimits);
const Rotation = z.strictObject({ overlap_seconds: z.number().int().min(0).max(OVERLAP_S_MAX).default(86_400) });
const Grant = z.strictObject({
  amount: z.string().regex(/^\d{1,12}(?:\.\d{1,9})?$/, { error: "write USD as decimal text, such as 5.00" }),
  reason: z.string().trim().min(1).max(500),
  reference: z.string().trim().min(1).max(200),
  expires_at: instant.nullable().default(null),
});
const PageWish = z.strictObject({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(100),
  cursor: z.string().max(200).optional(),
  account_id: z.string().max(100).optional(),
});

/** Every function takes what came from outside and checks it; what it refuses it throws as a {@link Refusal} or a ZodError. */
export class Operations {
  readonly #parts: OperationsParts;

  constructor(parts: OperationsParts) {
    this.#parts = parts;
  }

  listAccounts(query: unknown): Page {
    return pageOf(this.#parts.accounts.list(), PageWish.parse(query), shownAccount);
  }

  account(id: string): Shown {
    return shownAccount(this.#account(id));
  }

  async createAccount(input: unknown): Promise<Shown> {
    const wish = NewAccount.parse(input ?? {});
    this.#checkName(wish.name);
    this.#checkTier(wish.tier);
    const account = newAccount(wish.name, wish.metered, wish.tier, Date.now());
    await this.#parts.accounts.insert(account);
    if (account.isMetered) await openWallet(this.#parts.ledger, account.id);
    return shownAccount(account);
  }

  /** Gives credit. The reference is its own: the same request again changes nothing and gets the same answer. */
  async grantCredit(id: string, input: unknown): Promise<Shown> {
    const account = this.#account(id);
    if (!account.isMetered) throw new Refusal("invalid_request", "This account is not metered: it needs no credit.");
    const wish = Grant.parse(input ?? {});
    const amount = parseUsd(wish.amount);
    if ("fault" in amount || amount.value <= 0n)
      throw new Refusal("invalid_request", "Write the amount in USD as decimal text above zero, such as 5.00.");
    const result = await this.#parts.ledger.ask({
      kind: "credit",
      accountId: id,
      amountNanos: amount.value,
      lotKind: "comp",
      priority: GRANT_PRIORITY,
      isRefundable: false,
      expiresAtMs: wish.expires_at,
      reference: wish.reference,
      reason: wish.reason,
      actor: "owner",
    });
    if (!result.ok && result.code === "reference_used") throw new Refusal("invalid_request", "This reference was used for another credit.");
    if (!result.ok || result.balances === null)
      throw new Refusal("store_unavailable", "The credit could not be stored; nothing was changed.");
    return { ...shownBalance(result.balances) };
  }

  async balance(id: string): Promise<Shown> {
    const account = this.#account(id);
    const balance = await readBalance(this.#parts.ledger, account.id);
    if (balance === null) throw new Refusal("invalid_request", "This account is not metered: it has no balance.");
    if (balance === "store_unavailable") throw new Refusal("store_unavailable", "The ledger does not answer.");
    return { ...balance };
  }

  async changeAccount(id: string, input: unknown): Promise<Shown> {
    const account = this.#account(id);
    const change = AccountChange.parse(input ?? {});
    if (account.status === "closed") throw new Refusal("invalid_request", "A closed account stays as it is.");
    if (change.name !== undefined && change.name !== account.name) this.#checkName(change.name);
    if (change.tier !== undefined) this.#checkTier(change.tier);
    return shownAccount(await this.#parts.accounts.update(account, present(change)));
  }

  listKeys(query: unknown): Page {
    const wish = PageWish.parse(query);
    const keys = this.#parts.keys.list().filter((key) => wish.account_id === undefined || key.accountId === wish.account_id);
    return pageOf(keys, wish, shownKey);
  }

  key(id: string): Shown {
    return shownKey(this.#key(id));
  }

  /** @returns the key with its text, for the only time. */
  async createKey(input: unknown): Promise<Shown> {
    const { account_id, ...limits } = NewKey.parse(input === undefined ? {} : input);
    const account = this.#parts.accounts.get(account_id);
    if (account === undefined) throw new Refusal("invalid_request", `There is no account ${account_id}.`);
    if (account.status === "closed") throw new Refusal("invalid_request", "A closed account gets no keys.");
    const wishes = wishesOf(limits);
    const { text, record } = newKeyRecord(account.id, wishes.name ?? "key", Date.now(), wishes);
    await this.#parts.keys.insert(record);
    return { ...shownKey(record), key: text };
  }

  async changeKey(id: string, input: unknown): Promise<Shown> {
    const key = this.#key(id);
    const wishes = wishesOf(KeyChange.parse(input ?? {}));
    if (key.revokedAt !== null) throw new Refusal("invalid_request", "A revoked key stays as it is.");
    return shownKey(await this.#parts.keys.change(key, wishes));
  }

  async revokeKey(id: string): Promise<Shown> {
    const revoked = await this.#parts.keys.revoke(id, Date.now());
    if (revoked === null) throw new Refusal("route_unknown", `There is no key ${id}: the list of keys shows what there is.`);
    return shownKey(revoked);
  }

  /** A new key with the limits of an old one, which goes on for `overlap_seconds`. */
  async rotateKey(id: string, input: unknown): Promise<Shown> {
    const key = this.#key(id);
    const { overlap_seconds } = Rotation.parse(input ?? {});
    const now = Date.now();
    if (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now))
      throw new Refusal("invalid_request", "This key has ended: make a new one instead.");
    const { text, record } = newKeyRecord(key.accountId, key.name, now, limitsOf(key));
    await this.#parts.keys.insert(record);
    const end = now + overlap_seconds * 1000;
    await this.#parts.keys.change(key, { expiresAt: key.expiresAt === null ? end : Math.min(key.expiresAt, end) });
    return { ...shownKey(record), key: text, replaces: key.id };
  }

  #account(id: string): Account {
    const account = this.#parts.accounts.get(id);
    if (account === undefined) throw new Refusal("route_unknown", `There is no account ${id}: the list of accounts shows what there is.`);
    return account;
  }

  #key(id: string): KeyRecord {
    const key = this.#parts.keys.find(id);
    if (key === undefined) throw new Refusal("route_unknown", `There is no key ${id}: the list of keys shows what there is.`);
    return key;
  }

  #checkName(wanted: string): void {
    if (this.#parts.accounts.isNameTaken(wanted)) throw new Refusal("invalid_request", `There is an account named ${wanted} already.`);
  }

  #checkTier(tier: string | null): void {
    const { tiers } = this.#parts;
    if (tier === null || tiers === null || tiers.includes(tier)) return;
    const known = tiers.length === 0 ? "the configuration has none" : `there are ${tiers.join(", ")}`;
    throw new Refusal("invalid_request", `There is no tier ${tier}: ${known}.`);
  }
}

type Limits = Partial<z.infer<typeof KeyChange>>;

function wishesOf(limits: Limits): KeyWishes {
  const { name: keyName, expires_at, scopes, models, addresses } = limits;
  return present({ name: keyName, expiresAt: expires_at, scopes, models, addresses });
}

function limitsOf(key: KeyRecord): KeyWishes {
  const { expiresAt, scopes, models, addresses, limits, budgets } = key;
  return { expiresAt, scopes, models, addresses, limits, budgets };
}

/** Without the members that were not said. */
function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

function time(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

function shownAccount(account: Account): Shown {
  const { id, name: accountName, isMetered, tier, status, createdAt } = account;
  return { id, name: accountName, metered: isMetered, tier, status, created_at: time(createdAt) };
}

/** What may be shown of a key: never its text, never its hash. */
function shownKey(key: KeyRecord): Shown {
  return {
    id: key.id,
    account_id: key.accountId,
    name: key.name,
    hint: key.hint,
    created_at: time(key.createdAt),
    expires_at: time(key.expiresAt),
    revoked_at: time(key.revokedAt),
    scopes: key.scopes,
    models: key.models,
    addresses: key.addresses,
  };
}

function pageOf<T extends { readonly id: string }>(all: readonly T[], wish: z.infer<typeof PageWish>, show: (item: T) => Shown): Page {
  const from = wish.cursor === undefined ? 0 : all.findIndex((item) => item.id === wish.cursor) + 1;
  if (wish.cursor !== undefined && from === 0) throw new Refusal("invalid_request", "This cursor is of no page: begin without one.");
  const slice = all.slice(from, from + wish.limit);
  return { data: slice.map(show), next: from + wish.limit < all.length ? (slice.at(-1)?.id ?? null) : null };
}
