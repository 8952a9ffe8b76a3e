/**
 * A file of rows that the database could not take in time. Appended line by line; read back when it can again. A
 * reserve of the same disk is given up when the disk is full, so that the answers under way still find room.
 */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import type { RequestRow } from "../insight/row.ts";

const RESERVE_BYTES = 512 * 1024;

/** What an earlier process left. */
export interface Spooled {
  readonly rows: readonly RequestRow[];
  /** Lines that are no rows; they are kept in a file beside. */
  readonly badLines: number;
  /** Forgets them, once they are stored. */
  forget(): void;
}

export class Spool {
  readonly #path: string;
  #file: number | null = null;

  constructor(path: string) {
    this.#path = path;
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

  /** Appends one row. @throws when the disk will not take it; the file is then as it was. */
  append(row: RequestRow): void {
    try {
      this.#append(row);
    } catch (error) {
      if (!existsSync(this.#reservePath)) throw error;
      rmSync(this.#reservePath);
      this.#append(row);
    }
  }

  #append(row: RequestRow): void {
    this.#file ??= openSync(this.#path, "a", 0o600);
    const before = fstatSync(this.#file).size;
    // Each line brings its own beginning: what a crash left torn before it is then a line of its own.
    const line = Buffer.from(`${before === 0 ? "" : "\n"}${JSON.stringify(row)}`);
    try {
      let written = 0;
      while (written < line.length) written += writeSync(this.#file, line, written);
      fsyncSync(this.#file);
    } catch (error) {
      ftruncateSync(this.#file, before);
      throw error;
    }
  }

  /** Hands over what is in the file. A line that is no row was torn by a crash before it was acknowledged. */
  takeOver(): Spooled {
    this.close();
    const taken = `${this.#path}.taken`;
    if (existsSync(this.#path)) {
      if (!existsSync(taken)) renameSync(this.#path, taken);
      else {
        appendFileSync(taken, `\n${readFileSync(this.#path, "utf8")}`);
        rmSync(this.#path);
      }
    }
    if (!existsSync(taken)) return { rows: [], badLines: 0, forget: () => undefined };
    const lines = readFileSync(taken, "utf8")
      .split("\n")
      .filter((line) => line !== "");
    const rows = lines.map(rowOf);
    const bad = lines.filter((_, at) => rows[at] === null);
    if (bad.length > 0) appendFileSync(`${this.#path}.bad`, `${bad.join("\n")}\n`, { mode: 0o600 });
    return { rows: rows.filter((row) => row !== null), badLines: bad.length, forget: () => rmSync(taken, { force: true }) };
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}

function rowOf(line: string): RequestRow | null {
  try {
    const value = JSON.parse(line) as RequestRow;
    return typeof value.id === "string" && Array.isArray(value.attempts) ? value : null;
  } catch {
    return null;
  }
}
