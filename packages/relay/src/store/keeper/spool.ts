/**
 * A file of what the database could not take in time: rows, and how their holds end. Appended line by line; read back
 * when it can again. A reserve of the same disk is given up when the disk is full, so that the answers under way still
 * find room.
 */
import {
  closeSync,
  createReadStream,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Ending, RequestRow } from "../../insight/row.ts";
import { syncDirectory } from "../disk.ts";
import { spoolLines } from "./spool-lines.ts";

const RESERVE_BYTES = 512 * 1024;
/** A file of this size takes no more, so no new request starts: the disk is needed for other things too. */
const SPOOL_BYTES_MAX = 1024 ** 3;
/** Entries that are stored at once, and about how many bytes of them. */
const BATCH = 500;
const BATCH_BYTES = 8 * 1024 * 1024;
/** Moved at once from one file to another. */
const MOVED_BYTES = 1024 * 1024;

export interface SpoolEntry {
  readonly row: RequestRow;
  /** How the request's hold ends, where it has one. */
  readonly ending: Ending | null;
}

/** What became of an entry: `later` when the store did not answer, bad when it can never be stored as it is. */
export type Fate = "stored" | "later" | { readonly bad: string };

export interface Drained {
  /** Lines that no database takes, and why the first of them is one; they are kept in a file beside. */
  readonly bad: { readonly count: number; readonly reason: string } | null;
  /** All of it is stored, and the file is gone. */
  readonly isEmpty: boolean;
}

interface BadLine {
  readonly reason: string;
  readonly line: string;
}

interface Batch {
  readonly lines: readonly string[];
  /** Where the file goes on after them. */
  readonly end: number;
}

export class Spool {
  #path: string;
  #file: number | null = null;
  #bytes = 0;
  /** How much of the file that is read was dealt with. */
  #done = 0;
  readonly #syncDirectory: (path: string) => void;

  /** @param sync makes the names in a directory last. */
  constructor(path: string, sync: (path: string) => void = syncDirectory) {
    this.#path = path;
    this.#syncDirectory = sync;
  }

  /** Sets the reserve aside; without room for it there is none. */
  reserve(): void {
    try {
      if (!existsSync(this.#reservePath)) writeFileSync(this.#reservePath, Buffer.alloc(RESERVE_BYTES), { mode: 0o600 });
    } catch {
      // A full disk: the torn file would only take what little there is.
      rmSync(this.#reservePath, { force: true });
    }
  }

  get #reservePath(): string {
    return `${this.#path}.reserve`;
  }

  get hasRoom(): boolean {
    return this.#bytes < SPOOL_BYTES_MAX;
  }

  /** Appends one entry. @throws when the disk will not take it; the file is then as it was. */
  append(entry: SpoolEntry): void {
    try {
      this.#append(entry);
    } catch (error) {
      if (!existsSync(this.#reservePath)) throw error;
      rmSync(this.#reservePath);
      this.#append(entry);
    }
  }

  #append(entry: SpoolEntry): void {
    this.#file ??= this.#open(this.#path);
    const before = fstatSync(this.#file).size;
    // Each line brings its own beginning: what a crash left torn before it is then a line of its own.
    const line = Buffer.from(`${before === 0 ? "" : "\n"}${lineOf(entry)}`);
    try {
      let written = 0;
      while (written < line.length) written += writeSync(this.#file, line, written);
      fsyncSync(this.#file);
      this.#bytes = before + line.length;
    } catch (error) {
      ftruncateSync(this.#file, before);
      throw error;
    }
  }

  /** A synced file is gone after a loss of power when its name was not. */
  #open(path: string): number {
    const isNew = !existsSync(path);
    const file = openSync(path, "a", 0o600);
    if (isNew) this.#syncDirectory(dirname(path));
    return file;
  }

  /**
   * Reads what is in the file and gives it to `store`, a part at a time; entries may be given again after a failure.
   * @param store says what became of each: a part with one for later is left for later, and what follows it.
   */
  async drain(store: (entries: readonly SpoolEntry[]) => Promise<readonly Fate[]>): Promise<Drained> {
    const bad: BadLine[] = [];
    let count = 0;
    const drained = (isEmpty: boolean): Drained => ({ bad: bad[0] === undefined ? null : { count, reason: bad[0].reason }, isEmpty });
    for (let taken = this.#take(); taken !== null; taken = this.#take()) {
      for await (const { lines, end } of batchesOf(taken, this.#done)) {
        const found = await badOf(lines, store);
        if (found === null) return drained(false);
        this.#keepBad(found);
        this.#done = end;
        count += found.length;
        if (bad.length === 0) bad.push(...found.slice(0, 1));
      }
      rmSync(taken, { force: true });
      this.#done = 0;
    }
    return drained(true);
  }

  /** On the disk before the file that they come from goes. */
  #keepBad(bad: readonly BadLine[]): void {
    if (bad.length === 0) return;
    const file = this.#open(`${this.#path}.bad`);
    try {
      writeFileSync(file, bad.map((each) => `${JSON.stringify(each)}\n`).join(""));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }

  /** The file that is read, which nothing is appended to; null when there is nothing to read. */
  #take(): string | null {
    this.close();
    const taken = `${this.#path}.taken`;
    if (!existsSync(this.#path)) return existsSync(taken) ? taken : null;
    // What an earlier try left comes first; the newer file waits for its turn.
    if (existsSync(taken)) return taken;
    renameSync(this.#path, taken);
    this.#bytes = 0;
    return taken;
  }

  /** Takes what lies in another spool's files, which nobody else uses. What was stored of it already is stored once by its id. */
  adopt(from: string): void {
    if (from === this.#path) return;
    this.close();
    for (const ending of [".taken", ""]) this.#bytes = moveLines(`${from}${ending}`, this.#path) ?? this.#bytes;
    moveLines(`${from}.bad`, `${this.#path}.bad`);
    rmSync(`${from}.reserve`, { force: true });
    this.#syncDirectory(dirname(this.#path));
  }

  /** Goes on at another path, with all that it holds. Not while it is drained. */
  moveTo(path: string): void {
    const from = this.#path;
    if (from === path) return;
    this.close();
    this.#path = path;
    this.#done = 0;
    this.adopt(from);
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}

/** Appends a file's lines to another's, which may not exist yet. @returns the size of that afterwards; null when there is nothing to move. */
function moveLines(from: string, to: string): number | null {
  if (!existsSync(from)) return null;
  if (existsSync(to)) {
    const file = openSync(to, "a", 0o600);
    try {
      // A line that a crash left torn ends before the next one begins.
      writeSync(file, "\n");
      for (const piece of piecesOf(from)) writeFileSync(file, piece);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    rmSync(from);
  } else renameSync(from, to);
  return statSync(to).size;
}

function* piecesOf(path: string): Generator<Buffer> {
  const file = openSync(path, "r");
  const piece = Buffer.allocUnsafe(MOVED_BYTES);
  try {
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) yield piece.subarray(0, read);
  } finally {
    closeSync(file);
  }
}

/** @returns what is bad among the lines; null when something is to be stored later. */
async function badOf(
  lines: readonly string[],
  store: (entries: readonly SpoolEntry[]) => Promise<readonly Fate[]>,
): Promise<BadLine[] | null> {
  const read = lines.map((line) => ({ line, entry: entryOf(line) }));
  const fates = [...(await store(read.flatMap(({ entry }) => entry ?? [])))];
  const bad: BadLine[] = [];
  for (const { line, entry } of read) {
    const fate = entry === null ? { bad: "it is no entry: it was torn" } : (fates.shift() ?? "later");
    if (fate === "later") return null;
    if (fate !== "stored") bad.push({ reason: fate.bad, line });
  }
  return bad;
}

async function* batchesOf(path: string, start: number): AsyncGenerator<Batch> {
  let lines: string[] = [];
  let [begin, end] = [start, start];
  for await (const more of spoolLines(createReadStream(path, { start }))) {
    for (const line of more) {
      lines.push(line.text);
      end = start + line.end;
    }
    if (lines.length < BATCH && end - begin < BATCH_BYTES) continue;
    yield { lines, end };
    [lines, begin] = [[], end];
  }
  if (lines.length > 0) yield { lines, end };
}

function lineOf({ row, ending }: SpoolEntry): string {
  return JSON.stringify({ row, ending: ending?.kind === "settle" ? { ...ending, costNanos: String(ending.costNanos) } : ending });
}

/** The line is one that a drain would store. */
export function isSpoolEntry(line: string): boolean {
  return entryOf(line) !== null;
}

/** A row as a file may hold it: earlier versions called the endpoint `door`, and had no revision. */
type SpooledRow = Omit<RequestRow, "revision"> & { readonly door?: RequestRow["endpoint"]; readonly revision?: number | null };

/** A line that is no entry was torn by a crash before it was acknowledged. */
function entryOf(line: string): SpoolEntry | null {
  try {
    const value = JSON.parse(line) as { row?: SpooledRow; ending?: Ending | null } & Partial<SpooledRow>;
    // Lines of an earlier version are rows alone.
    const { door, ...spooled } = value.row ?? (value as SpooledRow);
    const row: RequestRow = { revision: null, ...spooled, ...(door === undefined ? {} : { endpoint: door }) };
    if (typeof row.id !== "string" || !Array.isArray(row.attempts)) return null;
    const ending = value.ending ?? null;
    return { row, ending: ending?.kind === "settle" ? { ...ending, costNanos: BigInt(ending.costNanos) } : ending };
  } catch {
    return null;
  }
}
