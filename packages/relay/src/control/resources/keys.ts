/** Makes, limits, changes, rotates and revokes keys of the data plane. */
import type * as z from "zod";
import { DEFAULT_ACCOUNT } from "../../admission/accounts.ts";
import { newKeyRecord } from "../../admission/keys.ts";
import type { KeyRecord, KeyRing } from "../../admission/keys.ts";
import { maySee } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { Overtaken, untilFirst } from "../changes.ts";
import type { Changes, Note } from "../changes.ts";
import { pageOfList } from "../http/page.ts";
import type { Page, PageQuery } from "../http/page.ts";
import { Refusal } from "../http/refusal.ts";
import { unknownId } from "../http/shapes.ts";
import type { ControlStore } from "../ports.ts";
import type { Accounts } from "./accounts.ts";
import { budgetsOf, wishesOf } from "./key-limits.ts";
import { shownKey } from "./key-shapes.ts";
import type { KeyChange, KeyView, NewKey, NewKeyShape, RotatedKeyShape } from "./key-shapes.ts";

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

  /** Revokes a key. A second call changes nothing: the time of the first one stays. */
  revoke(caller: Caller, id: string): Promise<KeyView> {
    return untilFirst(async () => {
      const key = this.#find(caller, id);
      if (key.revokedAt !== null) return shownKey(key);
      return this.#update(caller, "key.revoke", key, { ...key, revokedAt: Date.now() });
    });
  }

  /** Makes a new key with the limits of an old one, which stays valid for `overlapSeconds`. The new key's budgets start unused. */
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

  /** @param budgeted The key whose budgets changed, or null. The ledger keeps budgets, so it sets them in the same transaction. */
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
