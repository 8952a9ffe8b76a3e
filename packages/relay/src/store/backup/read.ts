/** Reads a backup from its beginning to its end, and finds out whether it is whole and unchanged. */
import { errorText } from "../../basics/error-text.ts";
import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { damaged, headOf, markOf } from "./format.ts";
import type { CountedTable, Head, MarkLine, Tail } from "./format.ts";

const LINE_BYTES_MAX = 64 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const BRACKET = 0x5b;

export type Part =
  | { readonly kind: "head"; readonly head: Head }
  /** Rows as they are written, see `rowOf`. */
  | { readonly kind: "rows"; readonly table: CountedTable; readonly lines: readonly Buffer[] }
  | { readonly kind: "spool"; readonly line: string }
  | { readonly kind: "tail"; readonly tail: Tail };

/**
 * Yields the tail only when all before it is as it was written. Whoever acts on the parts before must be able to undo it.
 * @throws with what is wrong with the file, its name in front.
 */
export async function* readBackup(path: string): AsyncGenerator<Part> {
  const walk = new Walk();
  try {
    for await (const piece of wholeLines(path)) yield* walk.partsOf(piece);
    yield walk.end();
  } catch (error) {
    throw new Error(`${path} ${errorText(error)}`, { cause: error });
  }
}

/** Reads it once to the end. @throws with what is wrong with the file. */
export async function checkBackup(path: string, onProgress: (done: number, total: number) => void): Promise<{ head: Head; tail: Tail }> {
  let head: Head | null = null;
  let [done, total] = [0, 0];
  for await (const part of readBackup(path)) {
    if (part.kind === "head") {
      head = part.head;
      total = head.tables.reduce((sum, table) => sum + table.rows, 0);
    }
    if (part.kind === "rows") onProgress((done += part.lines.length), total);
    if (part.kind === "tail" && head !== null) return { head, tail: part.tail };
  }
  throw damaged("it has no end");
}

class Walk {
  readonly #hash = createHash("sha256");
  #head: Head | null = null;
  /** Index of the table whose rows come. */
  #table = -1;
  #rowsOfTable = 0;
  #rows = 0;
  #spooled = 0;
  #tail: Tail | null = null;

  /** @param piece whole lines. */
  *partsOf(piece: Buffer): Generator<Part> {
    let lines: Buffer[] = [];
    let hashed = 0;
    for (let start = 0; start < piece.length;) {
      if (this.#tail !== null) throw damaged("something follows its end");
      const end = piece.indexOf(NEWLINE, start);
      const line = piece.subarray(start, end);
      if (line[0] === BRACKET) lines.push(line);
      else {
        if (lines.length > 0) yield this.#takeRows(lines);
        lines = [];
        if (this.#head === null) yield { kind: "head", head: (this.#head = headOf(line.toString())) };
        else {
          const mark = markOf(line.toString());
          if ("sha256" in mark) {
            this.#hash.update(piece.subarray(hashed, start));
            hashed = piece.length;
          }
          yield* this.#takeMark(mark);
        }
      }
      start = end + 1;
    }
    if (lines.length > 0) yield this.#takeRows(lines);
    this.#hash.update(piece.subarray(hashed));
  }

  #takeRows(lines: readonly Buffer[]): Part {
    const table = this.#head?.tables[this.#table];
    if (table === undefined || this.#spooled > 0) throw damaged("rows stand in it where none belong");
    this.#rowsOfTable += lines.length;
    this.#rows += lines.length;
    return { kind: "rows", table, lines };
  }

  *#takeMark(mark: MarkLine): Generator<Part> {
    if ("table" in mark) {
      this.#endTable();
      this.#table += 1;
      this.#rowsOfTable = 0;
      if (this.#head?.tables[this.#table]?.name !== mark.table) throw damaged(`${mark.table} is not the table that comes next`);
    } else if ("spool" in mark) {
      this.#spooled += 1;
      yield { kind: "spool", line: mark.spool };
    } else this.#tail = mark;
  }

  #endTable(): void {
    const before = this.#head?.tables[this.#table];
    if (before !== undefined && before.rows !== this.#rowsOfTable) throw damaged(`${before.name} has fewer or more rows than it says`);
  }

  end(): Part {
    const tail = this.#tail;
    if (tail === null) throw damaged("it was cut before its end");
    this.#endTable();
    if (this.#table + 1 !== this.#head?.tables.length || tail.rows !== this.#rows || tail.spooled !== this.#spooled)
      throw damaged("it holds less or more than it says");
    if (this.#hash.digest("hex") !== tail.sha256) throw damaged("its content does not have its checksum");
    return { kind: "tail", tail };
  }
}

/** Pieces of the unpacked file that end where a line ends. */
async function* wholeLines(path: string): AsyncGenerator<Buffer> {
  const bytes = sizeOf(path);
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  // A failure of the file reaches the loop through the stream that it reads.
  pipeline(createReadStream(path), gunzip, () => undefined);
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of gunzip) {
      const piece = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
      const end = piece.lastIndexOf(NEWLINE) + 1;
      if (end > 0) yield piece.subarray(0, end);
      rest = piece.subarray(end);
      if (rest.length > LINE_BYTES_MAX) throw damaged("a line in it has no end");
    }
  } catch (error) {
    throw said(error);
  }
  if (rest.length > 0) throw damaged("it was cut before its end");
  // Bytes behind the packed ones are passed over silently.
  if (gunzip.bytesWritten !== bytes) throw damaged("something follows its end");
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    throw said(error);
  }
}

function said(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return new Error("does not exist");
  if (code === "EACCES") return new Error("may not be read by this user");
  if (code === "EISDIR") return new Error("is a directory");
  if (code === "Z_BUF_ERROR") return damaged("it was cut before its end");
  if (code === "Z_DATA_ERROR" && message === "incorrect header check") return new Error("is no backup of Millrace");
  return code?.startsWith("Z_") === true ? damaged(message) : (error as Error);
}
