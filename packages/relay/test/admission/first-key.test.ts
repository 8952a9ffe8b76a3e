import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeyRing, isWellFormed } from "../../src/admission/keys.ts";
import type { KeyRecord, KeyStore } from "../../src/admission/keys.ts";
import { ensureFirstKey } from "../../src/first-key.ts";

let dir: string;
let path: string;
let stored: KeyRecord[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "millrace first key-"));
  path = join(dir, "first-key");
  stored = [];
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A start of the relay: a ring read anew from what is stored. */
function ring(): KeyRing {
  const store: KeyStore = { insert: async (key) => void stored.push(key) };
  return new KeyRing(store, stored);
}

/** Revokes the first key that was stored, as the control plane does. */
function revokeFirst(keys: KeyRing): void {
  stored = stored.map((key, at) => (at === 0 ? { ...key, revokedAt: Date.now() } : key));
  keys.learn(stored);
}

const fileKey = (): string => readFileSync(path, "utf8").trim();

test("the first start makes a key, keeps it in a file for its owner alone, and stores only its hash", async () => {
  const keys = ring();
  expect(await ensureFirstKey(keys, dir, null)).toEqual({ from: "file", path });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(isWellFormed(fileKey())).toBe(true);
  expect(keys.verify(fileKey(), Date.now()).ok).toBe(true);
  expect(JSON.stringify(stored)).not.toContain(fileKey());
});

test("later starts keep the key", async () => {
  await ensureFirstKey(ring(), dir, null);
  const key = fileKey();
  for (let i = 0; i < 3; i++) expect(await ensureFirstKey(ring(), dir, null)).toEqual({ from: "file", path });
  expect(fileKey()).toBe(key);
  expect(stored.length).toBe(1);
});

test("a start that died between the file and the store is made good by the next one", async () => {
  await ensureFirstKey(ring(), dir, null);
  stored = [];
  const keys = ring();
  await ensureFirstKey(keys, dir, null);
  expect(keys.verify(fileKey(), Date.now()).ok).toBe(true);
});

test("MILLRACE_KEY is the first key, stored once, and no file is written", async () => {
  const own = "sk-own-0123456789abcdefghijklmnopqrstuv";
  for (let i = 0; i < 2; i++) expect(await ensureFirstKey(ring(), dir, own)).toEqual({ from: "environment" });
  expect(stored.length).toBe(1);
  expect(ring().verify(own, Date.now()).ok).toBe(true);
  expect(existsSync(path)).toBe(false);
});

test("a deleted file stays deleted while a key lives; when none does, a new one is made", async () => {
  await ensureFirstKey(ring(), dir, null);
  const first = fileKey();
  rmSync(path);
  expect(await ensureFirstKey(ring(), dir, null)).toBeNull();
  expect(existsSync(path)).toBe(false);
  const keys = ring();
  revokeFirst(keys);
  expect(await ensureFirstKey(keys, dir, null)).toEqual({ from: "file", path });
  expect(fileKey()).not.toBe(first);
  expect(keys.verify(first, Date.now())).toEqual({ ok: false, code: "key_revoked" });
});

test("a revoked first key stays revoked; where no other lives a new one takes its place", async () => {
  const keys = ring();
  await ensureFirstKey(keys, dir, null);
  const first = fileKey();
  revokeFirst(keys);
  const later = ring();
  expect(await ensureFirstKey(later, dir, null)).toEqual({ from: "file", path });
  expect(fileKey()).not.toBe(first);
  expect(later.verify(first, Date.now())).toEqual({ ok: false, code: "key_revoked" });
  expect(later.verify(fileKey(), Date.now()).ok).toBe(true);
});

test("a revoked MILLRACE_KEY is offered to nobody; without another key the relay does not start", async () => {
  const own = "sk-0123456789abcdefghijklmnopqrstuvwxyz";
  const keys = ring();
  await ensureFirstKey(keys, dir, own);
  revokeFirst(keys);
  await expect(ensureFirstKey(keys, dir, own)).rejects.toThrow("MILLRACE_KEY was revoked");
  await ensureFirstKey(keys, dir, null);
  expect(await ensureFirstKey(keys, dir, own)).toBeNull();
});

test.each(["", "\n", "garbage", "sk-mr-cut", "\0\0\0", "sk-mr-0123456789012345678901234567890123456789012000000"])(
  "a file that holds no key is named and left alone: %j",
  async (content) => {
    writeFileSync(path, content);
    await expect(ensureFirstKey(ring(), dir, null)).rejects.toThrow(`${path} does not hold a key: delete it`);
    expect(readFileSync(path, "utf8")).toBe(content);
    expect(stored).toEqual([]);
  },
);
