/** Sees to it that a relay never serves without a key: the caller's own, or one made at the first start. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_ACCOUNT, isWellFormed, newKeyRecord, recordOf } from "./admission/keys.ts";
import type { KeyRing } from "./admission/keys.ts";

/** Where a person finds the key to try; `null` where only people know it. */
export type FirstKey = { readonly from: "environment" } | { readonly from: "file"; readonly path: string } | null;

/**
 * @param ownKey `MILLRACE_KEY`, or null.
 * @throws when the file exists and holds no key.
 */
export async function ensureFirstKey(keys: KeyRing, dataDir: string, ownKey: string | null): Promise<FirstKey> {
  if (ownKey !== null) {
    if (keys.findText(ownKey) === undefined) await keys.insert(recordOf(ownKey, DEFAULT_ACCOUNT, "MILLRACE_KEY", Date.now()));
    return { from: "environment" };
  }
  const path = join(dataDir, "first-key");
  if (existsSync(path)) return keepFileKey(keys, path);
  if (keys.list().some((key) => key.revokedAt === null)) return null;
  const { text, record } = newKeyRecord(DEFAULT_ACCOUNT, "first key", Date.now());
  writeFileSync(path, `${text}\n`, { mode: 0o600, flag: "wx" });
  await keys.insert(record);
  return { from: "file", path };
}

async function keepFileKey(keys: KeyRing, path: string): Promise<FirstKey> {
  const text = readFileSync(path, "utf8").trim();
  if (!isWellFormed(text)) throw new Error(`${path} does not hold a key: delete it, and the next start makes a new one`);
  const record = keys.findText(text);
  if (record === undefined) await keys.insert(recordOf(text, DEFAULT_ACCOUNT, "first key", Date.now()));
  return record?.revokedAt == null ? { from: "file", path } : null;
}
