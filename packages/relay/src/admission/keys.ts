/** Makes, hashes and recognises API keys. The relay shows a key's text once, when it makes the key, and never stores it. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { LimitSet } from "@millrace/policy/limit";
import { hintOf, isTokenOf, newToken, sha256 } from "./token.ts";

/** Prefix of keys made here; only these carry a checksum. */
const GENERATED_PREFIX = "sk-mr-";
const KEY_LENGTH_MIN = 16;
const KEY_LENGTH_MAX = 256;

export interface KeyRecord {
  readonly id: string;
  readonly accountId: string;
  readonly name: string;
  /** SHA-256 of the whole key. */
  readonly sha256: Uint8Array;
  /** The first characters and the last four, so that people can tell keys apart. */
  readonly hint: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  /** Endpoints, public model names and client addresses that the key may use; null means all. */
  readonly scopes: readonly string[] | null;
  readonly models: readonly string[] | null;
  readonly addresses: readonly string[] | null;
  /** The key's own limits, in addition to those of its account. */
  readonly limits: LimitSet | null;
  /** What the key may spend, at most one for each period. */
  readonly budgets: readonly KeyBudget[] | null;
}

/** A bound on what a key spends in each day, week or month (UTC), or in all. */
export interface KeyBudget {
  readonly period: "day" | "week" | "month" | "total";
  /** Nano-USD as decimal text. */
  readonly capNanos: string;
}

/** Name of a key's budget in the ledger. */
export function budgetIdOf(keyId: string, period: KeyBudget["period"]): string {
  return `key:${keyId}:${period}`;
}

/** What a caller may set when a key is made, and change later. */
export type KeyWishes = Partial<Pick<KeyRecord, "name" | "expiresAt" | "scopes" | "models" | "addresses" | "limits" | "budgets">>;

export type KeyVerdict =
  | { readonly ok: true; readonly key: KeyRecord }
  | { readonly ok: false; readonly code: "key_malformed" | "key_invalid" | "key_revoked" | "key_expired" };

/** Keeps keys. Adapters live in `store/`. */
export interface KeyStore {
  /** Resolves when the key is on disk. Only the control plane changes keys, because it records who changed what. */
  insert(key: KeyRecord): Promise<void>;
}

/** True when a text can be a key: `sk-`, a sensible length, visible ASCII, and a correct checksum if the relay made it. */
export function isWellFormed(text: string): boolean {
  if (text.length < KEY_LENGTH_MIN || text.length > KEY_LENGTH_MAX) return false;
  if (!/^sk-[\x21-\x7e]+$/.test(text)) return false;
  return !text.startsWith(GENERATED_PREFIX) || isTokenOf(GENERATED_PREFIX, text);
}

/** The record of a key whose text is given. */
export function recordOf(text: string, accountId: string, name: string, createdAt: number): KeyRecord {
  const id = `key_${randomBytes(10).toString("hex")}`;
  const shared = { id, accountId, name, sha256: sha256(text), hint: hintOf(text), createdAt };
  return { ...shared, expiresAt: null, revokedAt: null, scopes: null, models: null, addresses: null, limits: null, budgets: null };
}

/** A new key: its text, to be shown once, and its record. */
export function newKeyRecord(
  accountId: string,
  name: string,
  createdAt: number,
  wishes: KeyWishes = {},
): { text: string; record: KeyRecord } {
  const text = newToken(GENERATED_PREFIX);
  return { text, record: { ...recordOf(text, accountId, name, createdAt), ...wishes } };
}

/** All keys, in memory, found by their hash. The data plane reads keys from here only. */
export class KeyRing {
  readonly #byHash = new Map<string, KeyRecord>();
  readonly #store: KeyStore;

  readonly #onChange: (key: KeyRecord) => void;

  /**
   * @param keys what the store holds.
   * @param onChange gets each key that becomes known, and each change of a key, by this relay or another one.
   */
  constructor(store: KeyStore, keys: readonly KeyRecord[], onChange: (key: KeyRecord) => void = () => undefined) {
    this.#store = store;
    this.#onChange = onChange;
    this.learn(keys);
  }

  /** Replaces everything known here by the present content of the store. */
  learn(keys: readonly KeyRecord[]): void {
    for (const key of keys) this.#keep(key);
  }

  /** Applies a local change unless the store has already delivered it or a newer version. */
  renew(before: KeyRecord | null, key: KeyRecord): void {
    if ((this.find(key.id) ?? null) === before) this.#keep(key);
  }

  #keep(key: KeyRecord): void {
    this.#byHash.set(Buffer.from(key.sha256).toString("base64"), key);
    this.#onChange(key);
  }

  /** @param text the key as the client sent it, already trimmed. @param now wall-clock milliseconds. */
  verify(text: string, now: number): KeyVerdict {
    if (!isWellFormed(text)) return { ok: false, code: "key_malformed" };
    const hash = sha256(text);
    const key = this.#byHash.get(hash.toString("base64"));
    if (key === undefined || !timingSafeEqual(key.sha256, hash)) return { ok: false, code: "key_invalid" };
    if (key.revokedAt !== null) return { ok: false, code: "key_revoked" };
    if (key.expiresAt !== null && key.expiresAt <= now) return { ok: false, code: "key_expired" };
    return { ok: true, key };
  }

  list(): KeyRecord[] {
    return [...this.#byHash.values()].toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  }

  find(id: string): KeyRecord | undefined {
    return [...this.#byHash.values()].find((key) => key.id === id);
  }

  /** The present state of a key. */
  latest(key: KeyRecord): KeyRecord {
    return this.#byHash.get(Buffer.from(key.sha256).toString("base64")) ?? key;
  }

  /** The record of a key's text, whatever its state. */
  findText(text: string): KeyRecord | undefined {
    return this.#byHash.get(sha256(text).toString("base64"));
  }

  async insert(key: KeyRecord): Promise<void> {
    await this.#store.insert(key);
    this.#keep(key);
  }
}
