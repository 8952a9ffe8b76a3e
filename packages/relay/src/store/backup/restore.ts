/** Brings a backup back, into an empty database and a data directory that no relay uses: all of it or nothing. */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseConfig } from "../../config/config.ts";
import { openDataDirectory, spoolsOf } from "../data-directory.ts";
import type { DataDirectory } from "../data-directory.ts";
import { versionIn } from "../schema/schema.ts";
import type { Dialect } from "../sql/dialect.ts";
import { syncDirectory } from "../disk.ts";
import { rowOf } from "./format.ts";
import type { Head, Tail } from "./format.ts";
import { checkBackup, readBackup } from "./read.ts";
import { ROWS_AT_ONCE } from "./source.ts";
import { isKeptBySqlite, openSqliteTarget } from "./sqlite-target.ts";
import { isSound } from "./target.ts";
import type { Findings, RestoreTarget } from "./target.ts";

export interface RestoreRequest {
  readonly file: string;
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  readonly onProgress: (stage: "checking" | "restoring", done: number, total: number) => void;
}

export interface Restored {
  readonly head: Head;
  readonly tail: Tail;
  /** What it was restored into, for people. */
  readonly into: string;
  readonly dialect: Dialect;
  /** The books agree and the audit is whole; else nothing was kept. */
  readonly isKept: boolean;
  readonly breaches: Findings["breaches"];
  /** Null where an earlier run of the same restore walked it, and kept everything. */
  readonly chain: Findings["chain"] | null;
}

/** @throws with a sentence for people. Nothing is kept then. */
export async function restoreBackup(request: RestoreRequest): Promise<Restored> {
  const { file, database, dataDir, onProgress } = request;
  const { head, tail } = await checkBackup(file, (done, total) => onProgress("checking", done, total));
  const fault = faultFor(database.kind, head);
  if (fault !== null) throw new Error(`${file} ${fault}`);
  const directory = openDataDirectory(dataDir);
  try {
    return await restoreInto(directory, request, head, tail);
  } finally {
    directory.line.release();
  }
}

/** Why such a database cannot take it, or null. */
function faultFor(target: Dialect, { dialect, schema, openHolds }: Head): string | null {
  if (target !== dialect && openHolds > 0)
    return `has ${openHolds} open holds, which no relay of the other kind of database would end: start the relay it is of, stop it, and back it up again`;
  if (versionIn(target, dialect, schema) < 1)
    return "is older than PostgreSQL as a database of Millrace: restore it into SQLite, and make a new backup of that";
  return null;
}

async function restoreInto(directory: DataDirectory, request: RestoreRequest, head: Head, tail: Tail): Promise<Restored> {
  const spool = join(directory.path, "spool");
  // A spool that lies beside the mark is that of a restore which was killed before it was done.
  if (directory.restoring === null)
    for (const each of spoolsOf(directory.path).flatMap((path) => [path, `${path}.taken`]))
      if (existsSync(each)) throw new Error(`${each} exists: restore into an empty directory, say which with --data, or move it away`);
  // Killed after the database was kept, and before the mark was gone: then nothing is left to do.
  if (directory.restoring === tail.sha256) {
    const into = await keptIn(request.database, tail.sha256);
    if (into !== null) {
      directory.markRestoring(null);
      return { head, tail, into, dialect: request.database.kind, isKept: true, breaches: [], chain: null };
    }
  }
  const target = await openTarget(request.database);
  directory.markRestoring(tail.sha256);
  let mayBeKept = false;
  try {
    await target.begin(versionIn(target.dialect, head.dialect, head.schema));
    await load(request, target, head, `${spool}.restoring`);
    const findings = await target.finish(tail.sha256);
    const isKept = isSound(findings);
    if (isKept) {
      rmSync(spool, { force: true });
      if (tail.spooled > 0) renameSync(`${spool}.restoring`, spool);
      syncDirectory(directory.path);
      mayBeKept = true;
      await target.keep();
      directory.markRestoring(null);
    }
    return { head, tail, into: target.name, dialect: target.dialect, isKept, ...findings };
  } finally {
    await target.close();
    rmSync(`${spool}.restoring`, { force: true });
    // Where keeping failed nobody knows whether it is kept: then the mark stays, and no relay starts on it.
    if (!mayBeKept) {
      rmSync(spool, { force: true });
      directory.markRestoring(null);
    }
  }
}

/** The driver of PostgreSQL is loaded where it is needed. */
async function openTarget(database: DatabaseConfig): Promise<RestoreTarget> {
  if (database.kind === "sqlite") return openSqliteTarget(database.path);
  return (await import("./postgres-target.ts")).openPostgresTarget(database.url);
}

/** Name of the database when a restore of that backup was kept in it, else null. */
async function keptIn(database: DatabaseConfig, sha256: string): Promise<string | null> {
  if (database.kind === "sqlite") return isKeptBySqlite(database.path) ? database.path : null;
  return (await import("./postgres-target.ts")).keptByPostgres(database.url, sha256);
}

async function load({ file, onProgress }: RestoreRequest, target: RestoreTarget, head: Head, spool: string): Promise<void> {
  const total = head.tables.reduce((sum, table) => sum + table.rows, 0);
  let done = 0;
  let fd: number | null = null;
  try {
    for await (const part of readBackup(file)) {
      if (part.kind === "rows") {
        const { table, lines } = part;
        for (let at = 0; at < lines.length; at += ROWS_AT_ONCE) {
          const some = lines.slice(at, at + ROWS_AT_ONCE);
          await target.insert(
            table,
            some.map((line) => rowOf(table.columns, line.toString())),
          );
          onProgress("restoring", (done += some.length), total);
        }
      }
      if (part.kind === "spool") writeSync((fd ??= openSync(spool, "w", 0o600)), `${part.line}\n`);
    }
    if (fd !== null) fsyncSync(fd);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}
