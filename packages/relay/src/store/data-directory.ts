/** The directory that a relay keeps its books in: its lock, and the relay's name among several relays. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Line, PLACES } from "./line.ts";
import type { Place } from "./line.ts";

export interface DataDirectory {
  readonly path: string;
  /** The directory's lock, and who waits for it. */
  readonly line: Line;
  /** Where this process stood in it when the directory was opened. */
  readonly place: Place;
  /**
   * Name of this relay in the ledger. It is the same after a restart, so that the relay ends at once the holds that it left. The host
   * is part of it, because directories are copied; the place is too, because two relays that overlap hold money at the same time.
   */
  readonly node: string;
  /** Checksum of the backup whose restore has not ended: the directory cannot be used until it has. Null if none is in progress. */
  readonly restoring: string | null;
  /** Records that a restore is in progress; null clears it. */
  markRestoring(sha256: string | null): void;
}

/**
 * Opens the directory, making it (mode 0700), and takes its lock, which the kernel takes back however the process ends.
 * @param mayWait stands in line where the relay that has the lock is draining, instead of being refused.
 * @throws {LineBusy} when another process holds it.
 */
export function openDataDirectory(path: string, mayWait = false): DataDirectory {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const line = new Line(path);
  const place = line.join(mayWait);
  const mark = join(path, "restoring");
  const name = `${hostname()}:${nodeIn(path)}`;
  return {
    path,
    line,
    place,
    node: place.number === 0 ? name : `${name}/${place.number}`,
    restoring: existsSync(mark) ? readFileSync(mark, "utf8") : null,
    markRestoring: (sha256) => {
      if (sha256 === null) rmSync(mark, { force: true });
      else writeFileSync(mark, sha256, { mode: 0o600, flush: true });
    },
  };
}

/** Where the relay in a place puts what the database does not take. */
export function spoolOf(path: string, place: number): string {
  return join(path, place === 0 ? "spool" : `spool.${place}`);
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

/** All that there can be, in the order in which their lines move on: from the end of the line to its head. */
export function spoolsOf(path: string): string[] {
  return Array.from({ length: PLACES + 1 }, (_, at) => spoolOf(path, PLACES - at));
}
