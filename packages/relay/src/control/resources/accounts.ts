/** Accounts: the owners of keys, who may pay for requests. */
import { isoOf } from "../../basics/iso-time.ts";
import { parseUsd } from "@millrace/wire/money";
import * as z from "zod";
import { newAccount } from "../../admission/accounts.ts";
import type { Account, AccountRegistry } from "../../admission/accounts.ts";
import { maySee } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { Overtaken, untilFirst } from "../changes.ts";
import type { Changes, Note, WhyNot } from "../changes.ts";
import { pageOfList } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import type { ControlStore } from "../ports.ts";
import { Refusal } from "../http/refusal.ts";
import { name, present, time, unknownId } from "../http/shapes.ts";
import type { TierView } from "./tiers.ts";

const STATUSES = ["active", "suspended", "closed"] as const;

export const NewAccount = z.strictObject({
  name,
  metered: z.boolean().default(false),
  tier: z.string().nullable().default(null),
});

export const AccountChange = z.strictObject({
  name: name.optional(),
  tier: z.string().nullable().optional(),
  status: z.enum(STATUSES).optional(),
  /** How far below zero requests may take the balance of an account that pays. */
  floor: z
    .string()
    .regex(/^(?:0(?:\.0{1,9})?|-\d{1,12}(?:\.\d{1,9})?)$/, { error: "write USD as decimal text, 0 or less, such as -0.50" })
    .optional(),
});

export const AccountShape = z.strictObject({
  id: z.string(),
  name: z.string(),
  metered: z.boolean(),
  tier: z.string().nullable(),
  status: z.enum(STATUSES),
  created_at: time,
});

/** With warnings for its maker, if there are any. */
export const NewAccountShape = AccountShape.extend({ warnings: z.array(z.string()).optional() });

type AccountView = z.output<typeof AccountShape>;

export interface AccountsParts {
  readonly accounts: AccountRegistry;
  readonly store: Pick<ControlStore, "accountClash" | "fresh">;
  readonly changes: Changes;
  /** Null if the configuration is not known; any name is then accepted. */
  readonly tiers: () => readonly TierView[] | null;
  /** What an account that pays meets as things are configured. */
  readonly warningsOfMetered: () => string[];
}

export class Accounts {
  readonly #parts: AccountsParts;

  constructor(parts: AccountsParts) {
    this.#parts = parts;
  }

  list(caller: Caller, wish: PageQuery): Page<AccountView> {
    const seen = this.#parts.accounts.list().filter((account) => maySee(caller, account.id));
    return pageOfList(seen, wish, shownAccount);
  }

  show(caller: Caller, id: string): AccountView {
    return shownAccount(this.find(caller, id));
  }

  async create(caller: Caller, wish: z.output<typeof NewAccount>): Promise<z.output<typeof NewAccountShape>> {
    this.#checkName(wish.name);
    this.#checkTier(wish.tier);
    const account = newAccount(wish.name, wish.metered, wish.tier, Date.now());
    const shown = shownAccount(account);
    const note = { action: "account.create", target: account.id, before: null, after: shown };
    const write = { kind: "account", account, before: null } as const;
    const whyNot = this.#clashOf(account);
    if (!account.isMetered) await this.#parts.changes.write(caller, note, [write], whyNot);
    else await this.#parts.changes.ask(caller, note, { kind: "open_wallet", accountId: account.id, floorNanos: 0n }, [write], whyNot);
    this.#parts.accounts.renew(null, account);
    const warnings = account.isMetered ? this.#parts.warningsOfMetered() : [];
    return warnings.length === 0 ? shown : { ...shown, warnings };
  }

  change(caller: Caller, id: string, change: z.output<typeof AccountChange>): Promise<AccountView> {
    return untilFirst(() => this.#change(caller, id, change));
  }

  async #change(caller: Caller, id: string, change: z.output<typeof AccountChange>): Promise<AccountView> {
    const account = this.find(caller, id);
    if (account.status === "closed") throw closed();
    if (change.name !== undefined && change.name !== account.name) this.#checkName(change.name);
    if (change.tier !== undefined) this.#checkTier(change.tier);
    const { floor, ...own } = change;
    const changed: Account = { ...account, ...present(own) };
    const after = shownAccount(changed);
    const note = {
      action: "account.change",
      target: id,
      before: shownAccount(account),
      after: floor === undefined ? after : { ...after, floor },
    };
    await this.#store(caller, note, account, changed, floor);
    this.#parts.accounts.renew(account, changed);
    return after;
  }

  /** The floor belongs to the wallet, so the ledger sets it in the same transaction. */
  async #store(caller: Caller, note: Note, before: Account, account: Account, floor: string | undefined): Promise<void> {
    const write = { kind: "account", account, before } as const;
    const whyNot: WhyNot = async () => (await this.#clashOf(account)()) ?? (await this.#overtaken(before));
    if (floor === undefined) return this.#parts.changes.write(caller, note, [write], whyNot);
    const read = parseUsd(floor);
    if (!account.isMetered || "fault" in read) throw new Refusal("invalid_request", "Only an account that pays has a floor.");
    await this.#parts.changes.ask(caller, note, { kind: "set_wallet", accountId: account.id, floorNanos: read.value }, [write], whyNot);
  }

  /** Only the database sees a request that another caller or relay made at the same time. */
  #clashOf(account: Account): WhyNot {
    return async () => {
      const clash = await this.#parts.store.accountClash(account);
      if (clash === null) return null;
      return clash === "name" ? nameTaken(account.name) : closed();
    };
  }

  async #overtaken(before: Account): Promise<Overtaken | null> {
    await this.#parts.store.fresh();
    return this.#parts.accounts.get(before.id) === before ? null : new Overtaken();
  }

  /** The account, or null if there is none or the caller may not know of it. */
  get(caller: Caller, id: string): Account | null {
    return maySee(caller, id) ? (this.#parts.accounts.get(id) ?? null) : null;
  }

  find(caller: Caller, id: string): Account {
    const account = this.get(caller, id);
    if (account === null) throw unknownId("account", id);
    return account;
  }

  #checkName(wanted: string): void {
    if (this.#parts.accounts.isNameTaken(wanted)) throw nameTaken(wanted);
  }

  #checkTier(tier: string | null): void {
    const tiers = this.#parts.tiers();
    if (tier === null || tiers === null || tiers.some((known) => known.name === tier)) return;
    const known = tiers.length === 0 ? "the configuration has none" : `there are ${tiers.map((each) => each.name).join(", ")}`;
    throw new Refusal("invalid_request", `There is no tier ${tier}: ${known}.`);
  }
}

function nameTaken(wanted: string): Refusal {
  return new Refusal("invalid_request", `There is an account named ${wanted} already.`);
}

function closed(): Refusal {
  return new Refusal("invalid_request", "A closed account stays as it is.");
}

function shownAccount(account: Account): AccountView {
  const { id, name: accountName, isMetered, tier, status, createdAt } = account;
  return { id, name: accountName, metered: isMetered, tier, status, created_at: isoOf(createdAt) };
}
