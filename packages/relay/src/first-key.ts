/** Sees to it that a relay never serves without a key: the caller's own, or one made at the first start. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_ACCOUNT } from "./admission/accounts.ts";
import { isWellFormed, newKeyRecord, recordOf } from "./admission/keys.ts";
import type { KeyRecord, KeyRing } from "./admission/keys.ts";

/** Where a person finds the key to try; `null` where only people know it. */
export type FirstKey = { readonly from: "environment" } | { readonly from: "file"; readonly path: string } | null;

/**
 * @param ownKey `MILLRACE_KEY`, or null.
 * @throws when the file exists and holds no key, or when the only key there could be was revoked.
 */
export async function ensureFirstKey(keys: KeyRing, dataDir: string, ownKey: string | null): Promise<FirstKey> {
  if (ownKey !== null) return keepOwnKey(keys, ownKey);
  const path = join(dataDir, "first-key");
  const text = existsSync(path) ? readFirstKey(path) : null;
  if (text !== null && keys.findText(text) === undefined) await keys.insert(recordOf(text, DEFAULT_ACCOUNT, "first key", Date.now()));
  if (text !== null && isLiving(keys.findText(text))) return { from: "file", path };
  if (keys.list().some(isLiving)) return null;
  const made = newKeyRecord(DEFAULT_ACCOUNT, "first key", Date.now());
  writeFileSync(path, `${made.text}\n`, { mode: 0o600 });
  await keys.insert(made.record);
  return { from: "file", path };
}

async function keepOwnKey(keys: KeyRing, ownKey: string): Promise<FirstKey> {
  if (keys.findText(ownKey) === undefined) await keys.insert(recordOf(ownKey, DEFAULT_ACCOUNT, "MILLRACE_KEY", Date.now()));
  if (isLiving(keys.findText(ownKey))) return { from: "environment" };
  if (keys.list().some(isLiving)) return null;
  throw new Error("MILLRACE_KEY was revoked and there is no other key: set another one, or unset it");
}

function isLiving(key: KeyRecord | undefined): boolean {
  return key !== undefined && key.revokedAt === null && (key.expiresAt === null || key.expiresAt > Date.now());
}

function readFirstKey(path: string): string {
  const text = readFileSync(path, "utf8").trim();
  if (!isWellFormed(text)) throw new Error(`${path} does not hold a key: delete it, and the next start makes a new one`);
  return text;
}
