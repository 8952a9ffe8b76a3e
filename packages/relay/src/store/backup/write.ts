/** Writes a backup, beside relays that use the database. */
import { createHash } from "node:crypto";
import { createWriteStream, existsSync, linkSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { DatabaseConfig } from "../../config/config.ts";
import { syncDirectory } from "../disk.ts";
import { headLine, rowLine, spoolLine, tableLine, tailLine } from "./format.ts";
import type { Head, Tail } from "./format.ts";
import type { BackupSource } from "./source.ts";
import { copySpool } from "./spool-copy.ts";
import type { SpoolCopy } from "./spool-copy.ts";
import { openSqliteSource } from "./sqlite-source.ts";

/** Text that is handed on at once. */
const PIECE_CHARS = 64 * 1024;
/** Twice as fast as the usual level for a tenth more bytes. */
const GZIP_LEVEL = 4;

export interface BackupRequest {
  readonly file: string;
  /** Replaces a file that is there. */
  readonly force: boolean;
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  readonly onProgress: (done: number, total: number) => void;
  /** Ends it early; nothing is left then. */
  readonly signal?: AbortSignal;
}

export interface BackupMade {
  readonly head: Head;
  readonly tail: Tail;
  readonly bytes: number;
}

/**
 * The file appears whole, readable by its owner alone, or not at all. All that was acknowledged before the call is in it.
 * @throws with a sentence for people.
 */
export async function writeBackup(request: BackupRequest): Promise<BackupMade> {
  const { file, force, database } = request;
  if (!force && existsSync(file)) throw new Error(`${file} exists: choose another name, or replace it with --force`);
  const spool = copySpool(request.dataDir);
  try {
    const source = database.kind === "sqlite" ? openSqliteSource(database.path) : await openOnPostgres(database.url);
    try {
      return await writeWhole(request, source, spool);
    } finally {
      await source.close();
    }
  } finally {
    spool.close();
  }
}

/** The driver of PostgreSQL is loaded where it is needed. */
async function openOnPostgres(url: string): Promise<BackupSource> {
  return (await import("./postgres-source.ts")).openPostgresSource(url);
}

async function writeWhole({ file, force, onProgress, signal }: BackupRequest, source: BackupSource, spool: SpoolCopy): Promise<BackupMade> {
  const partial = `${file}.${process.pid}.partial`;
  const tail: { is: Tail | null } = { is: null };
  try {
    await pipeline(
      () => documentOf(source, spool, onProgress, (made) => (tail.is = made)),
      createGzip({ level: GZIP_LEVEL }),
      createWriteStream(partial, { flags: "wx", mode: 0o600, flush: true }),
      signal === undefined ? {} : { signal },
    );
    if (tail.is === null) throw new Error("the backup has no end");
    const bytes = statSync(partial).size;
    appear(partial, file, force);
    syncDirectory(dirname(file));
    return { head: source.head, tail: tail.is, bytes };
  } finally {
    rmSync(partial, { force: true });
  }
}

async function* documentOf(
  { head, rows }: BackupSource,
  spool: SpoolCopy,
  onProgress: BackupRequest["onProgress"],
  onTail: (tail: Tail) => void,
): AsyncGenerator<Buffer> {
  const hash = createHash("sha256");
  const total = head.tables.reduce((sum, table) => sum + table.rows, 0);
  let [done, spooled] = [0, 0];
  let text = headLine(head);
  const piece = (): Buffer => {
    const bytes = Buffer.from(text);
    hash.update(bytes);
    text = "";
    onProgress(done, total);
    return bytes;
  };
  for (const table of head.tables) {
    text += tableLine(table.name);
    for await (const some of rows(table)) {
      for (const row of some) text += rowLine(table.columns, row);
      done += some.length;
      if (text.length > PIECE_CHARS) yield piece();
    }
  }
  for await (const line of spool.lines()) {
    text += spoolLine(line);
    spooled += 1;
    if (text.length > PIECE_CHARS) yield piece();
  }
  yield piece();
  const tail = { rows: done, spooled, sha256: hash.digest("hex") };
  onTail(tail);
  yield Buffer.from(tailLine(tail));
}

/** Linking refuses a name that somebody took meanwhile; where the disk knows no links the last look must do. */
function appear(partial: string, file: string, force: boolean): void {
  if (force) return renameSync(partial, file);
  try {
    linkSync(partial, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST" || existsSync(file))
      throw new Error(`${file} appeared meanwhile: choose another name, or replace it with --force`, { cause: error });
    renameSync(partial, file);
  }
}
