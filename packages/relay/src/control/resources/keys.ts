/** Keys of the data plane: made, limited, changed, rotated, revoked. */
import { money } from "@millrace/wire/money-json";
import { isoOf } from "../../basics/iso-time.ts";
import { parseUsd } from "@millrace/wire/money";
import * as z from "zod";
import { DEFAULT_ACCOUNT } from "../../admission/accounts.ts";
import { SCOPES } from "../../admission/authorize.ts";
import { budgetIdOf, newKeyRecord } from "../../admission/keys.ts";
import type { KeyBudget, KeyRecord, KeyRing, KeyWishes } from "../../admission/keys.ts";
import { networkFault } from "../../basics/network.ts";
import { isAmount } from "../../ledger/nanos.ts";
import type { OperationOf } from "../../ledger/operation.ts";
import type { Accounts } from "./accounts.ts";
import { maySee } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { Overtaken, untilFirst } from "../changes.ts";
import type { Changes, Note } from "../changes.ts";
import { pageOfList } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import type { ControlStore } from "../ports.ts";
import { Refusal } from "../http/refusal.ts";
import { instant, moneyShape, name, present, time, unknownId, usd } from "../http/shapes.ts";
import { LimitsShape, shownLimits } from "./tiers.ts";

const OVERLAP_S_MAX = 30 * 86_400;
const PERIODS = ["day", "week", "month", "total"] as const;

const address = z.string().refine((text) => networkFault(text) === null, { error: "write an address, or a network such as 10.0.0.0/8" });
const count = z.number().int().min(1).max(1_000_000_000).nullable().optional();

const Budgets = z
  .array(z.strictObject({ period: z.enum(PERIODS), cap: usd }))
  .max(PERIODS.length)
  .refine((budgets) => new Set(budgets.map((budget) => budget.period)).size === budgets.length, { error: "name each period once" });

const wishes = {
  name: name.optional(),
  expires_at: instant.nullable().optional(),
  scopes: z.array(z.enum(SCOPES)).min(1).nullable().optional(),
  models: z.array(z.string().min(1).max(256)).min(1).max(1_000).nullable().optional(),
  addresses: z.array(address).min(1).max(100).nullable().optional(),
  limits: z.strictObject({ rpm: count, tpm: count, in_flight: count }).nullable().optional(),
  budgets: Budgets.nullable().optional(),
};

export const KeyChange = z.strictObject(wishes);
/** Without an account it is the caller's own, else the one that exists from the first start. */
export const NewKey = z.strictObject({ account_id: z.string().optional(), ...wishes });
export const Rotation = z.strictObject({ overlap_seconds: z.number().int().min(0).max(OVERLAP_S_MAX).default(86_400) });

export const KeyShape = z.strictObject({
  id: z.string(),
  account_id: z.string(),
  name: z.string(),
  hint: z.string(),
  created_at: time,
  expires_at: time.nullable(),
  revoked_at: time.nullable(),
  scopes: z.array(z.string()).nullable(),
  models: z.array(z.string()).nullable(),
  addresses: z.array(z.string()).nullable(),
  limits: LimitsShape.nullable(),
  budgets: z.array(z.strictObject({ period: z.enum(PERIODS), ...moneyShape("cap") })),
});
/** With the key's text, for the only time. */
export const NewKeyShape = KeyShape.extend({ key: z.string() });
export const RotatedKeyShape = NewKeyShape.extend({ replaces: z.string() });

type KeyView = z.output<typeof KeyShape>;

export interface KeysParts {
  readonly keys: KeyRing;
  readonly store: Pick<ControlStore, "fresh">;
  readonly accounts: Accounts;
  readonly changes: Changes;
}

export class Keys {
  readonly #parts: KeysParts;

  constructor(parts: KeysParts) {
    this.#parts = parts;
  }

  list(caller: Caller, wish: PageQuery & { readonly account_id?: string | undefined }): Page<KeyView> {
    const isWanted = (key: KeyRecord): boolean => wish.account_id === undefined || key.accountId === wish.account_id;
    const seen = this.#parts.keys.list().filter((key) => maySee(caller, key.accountId) && isWanted(key));
    return pageOfList(seen, wish, shownKey);
  }

  show(caller: Caller, id: string): KeyView {
    return shownKey(this.#find(caller, id));
  }

  async create(caller: Caller, { account_id, ...limits }: z.output<typeof NewKey>): Promise<z.output<typeof NewKeyShape>> {
    const accountId = account_id ?? caller.accountId ?? DEFAULT_ACCOUNT;
    const account = this.#parts.accounts.get(caller, accountId);
    if (account === null) throw new Refusal("invalid_request", `There is no account ${accountId}.`);
    if (account.status === "closed") throw new Refusal("invalid_request", "A closed account gets no keys.");
    const given = wishesOf(limits);
    const { text, record } = newKeyRecord(accountId, given.name ?? "key", Date.now(), given);
    const shown = shownKey(record);
    await this.#store(
      caller,
      { action: "key.create", target: record.id, before: null, after: shown },
      [{ key: record, before: null }],
      record,
    );
    return { ...shown, key: text };
  }

  change(caller: Caller, id: string, change: z.output<typeof KeyChange>): Promise<KeyView> {
    const wanted = wishesOf(change);
    return untilFirst(async () => {
      const key = this.#find(caller, id);
      if (key.revokedAt !== null) throw new Refusal("invalid_request", "A revoked key stays as it is.");
      return this.#update(caller, "key.change", key, { ...key, ...wanted });
    });
  }

  /** Revoking twice keeps the first time. */
  revoke(caller: Caller, id: string): Promise<KeyView> {
    return untilFirst(async () => {
      const key = this.#find(caller, id);
      if (key.revokedAt !== null) return shownKey(key);
      return this.#update(caller, "key.revoke", key, { ...key, revokedAt: Date.now() });
    });
  }

  /** A new key with the limits of an old one, which goes on for a while. Its budgets begin anew. */
  rotate(caller: Caller, id: string, overlapSeconds: number): Promise<z.output<typeof RotatedKeyShape>> {
    return untilFirst(() => this.#rotate(caller, id, overlapSeconds));
  }

  async #rotate(caller: Caller, id: string, overlapSeconds: number): Promise<z.output<typeof RotatedKeyShape>> {
    const key = this.#find(caller, id);
    const now = Date.now();
    if (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now))
      throw new Refusal("invalid_request", "This key has ended: make a new one instead.");
    const { expiresAt, scopes, models, addresses, limits, budgets } = key;
    const kept = { expiresAt, scopes, models, addresses, limits, budgets };
    const { text, record } = newKeyRecord(key.accountId, key.name, now, kept);
    const end = now + overlapSeconds * 1000;
    const old: KeyRecord = { ...key, expiresAt: expiresAt === null ? end : Math.min(expiresAt, end) };
    const shown = { ...shownKey(record), replaces: key.id };
    const note = { action: "key.rotate", target: key.id, before: shownKey(key), after: shown };
    const both = [
      { key: record, before: null },
      { key: old, before: key },
    ];
    await this.#store(caller, note, both, record);
    return { ...shown, key: text };
  }

  async #update(caller: Caller, action: string, before: KeyRecord, key: KeyRecord): Promise<KeyView> {
    const after = shownKey(key);
    const note = { action, target: key.id, before: shownKey(before), after };
    await this.#store(caller, note, [{ key, before }], key.budgets === before.budgets ? null : key);
    return after;
  }

  /** @param budgeted the key whose budgets are new: they are the ledger's, and set together with it. */
  async #store(
    caller: Caller,
    note: Note,
    changed: readonly { readonly key: KeyRecord; readonly before: KeyRecord | null }[],
    budgeted: KeyRecord | null,
  ): Promise<void> {
    const { changes, keys, store } = this.#parts;
    const writes = changed.map((one) => ({ kind: "key", ...one }) as const);
    const whyNot = async (): Promise<Overtaken | null> => {
      await store.fresh();
      return changed.every(({ key, before }) => (keys.find(key.id) ?? null) === before) ? null : new Overtaken();
    };
    await changes.askAll(caller, note, budgeted === null ? [] : budgetsOf(budgeted), writes, whyNot);
    for (const { key, before } of changed) keys.renew(before, key);
  }

  #find(caller: Caller, id: string): KeyRecord {
    const key = this.#parts.keys.find(id);
    if (key === undefined || !maySee(caller, key.accountId)) throw unknownId("key", id);
    return key;
  }
}

function wishesOf({ expires_at, limits, budgets, ...rest }: z.output<typeof KeyChange>): KeyWishes {
  const caps = budgets === undefined ? undefined : (budgets?.map(budgetOf) ?? null);
  return present({ ...rest, expiresAt: expires_at, limits: limitsOf(limits), budgets: caps });
}

/** A set without a limit is none. */
function limitsOf(given: z.output<typeof KeyChange>["limits"]): KeyRecord["limits"] | undefined {
  if (given === undefined) return undefined;
  const limits = present({ rpm: given?.rpm ?? undefined, tpm: given?.tpm ?? undefined, inFlight: given?.in_flight ?? undefined });
  return Object.keys(limits).length === 0 ? null : limits;
}

function budgetOf({ period, cap }: z.output<typeof Budgets>[number]): KeyBudget {
  const read = parseUsd(cap);
  if ("fault" in read) throw new Refusal("invalid_request", `The cap of the budget ${read.fault}.`);
  // Asked here too: the budgets of a key are several operations, of which none may be refused alone.
  if (!isAmount(read.value)) throw new Refusal("invalid_request", "The cap of the budget is too large.");
  return { period, capNanos: String(read.value) };
}

function budgetsOf(key: KeyRecord): OperationOf<"set_budget">[] {
  return (key.budgets ?? []).map(({ period, capNanos }) => ({
    kind: "set_budget",
    id: budgetIdOf(key.id, period),
    scope: `key:${key.id}`,
    period,
    capNanos: BigInt(capNanos),
  }));
}

/** What may be shown of a key: never its text, never its hash. */
function shownKey(key: KeyRecord): KeyView {
  return {
    id: key.id,
    account_id: key.accountId,
    name: key.name,
    hint: key.hint,
    created_at: isoOf(key.createdAt),
    expires_at: isoOf(key.expiresAt),
    revoked_at: isoOf(key.revokedAt),
    scopes: copyOf(key.scopes),
    models: copyOf(key.models),
    addresses: copyOf(key.addresses),
    limits: key.limits === null ? null : shownLimits(key.limits),
    budgets: (key.budgets ?? []).map(({ period, capNanos }) => ({ period, ...money("cap", BigInt(capNanos)) })),
  };
}

function copyOf(list: readonly string[] | null): string[] | null {
  return list === null ? null : [...list];
}
