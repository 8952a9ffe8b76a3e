/** The directory that a relay has to itself: its lock, and its name among several relays. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface DataDirectory {
  readonly path: string;
  /**
   * Name of this relay in the ledger: the same after a restart, so that it ends at once what it left. The host is part of
   * it, for directories are copied.
   */
  readonly node: string;
  /** Checksum of the backup whose restore into it was begun and is not done: what lies here is no data. Else null. */
  readonly restoring: string | null;
  /** Says so to whoever opens it later, or, with null, that it is done. */
  markRestoring(sha256: string | null): void;
  release(): void;
}

/** The data directory is in use by another process. */
class DataDirectoryBusy extends Error {}

/**
 * Opens the directory, making it (mode 0700), and takes its lock, which the kernel takes back however the process ends.
 * @throws {DataDirectoryBusy} when another process holds it.
 */
export function openDataDirectory(path: string): DataDirectory {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const lock = takeLock(path);
  if (lock === null) throw new DataDirectoryBusy(`another process uses ${path}: stop it, or choose another directory with --data`);
  const mark = join(path, "restoring");
  return {
    path,
    node: `${hostname()}:${nodeIn(path)}`,
    restoring: existsSync(mark) ? readFileSync(mark, "utf8") : null,
    markRestoring: (sha256) => {
      if (sha256 === null) rmSync(mark, { force: true });
      else writeFileSync(mark, sha256, { mode: 0o600, flush: true });
    },
    release: () => {
      // Asked twice where opening failed late.
      if (lock.isOpen) lock.close();
    },
  };
}

function takeLock(path: string): DatabaseSync | null {
  const database = new DatabaseSync(join(path, "lock"), { timeout: 0 });
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return database;
  } catch {
    database.close();
    return null;
  }
}

function nodeIn(path: string): string {
  const file = join(path, "node");
  if (existsSync(file)) {
    const known = readFileSync(file, "utf8").trim();
    if (/^[0-9a-f]{16}$/.test(known)) return known;
  }
  const made = randomBytes(8).toString("hex");
  writeFileSync(file, `${made}\n`, { mode: 0o600 });
  return made;
}
