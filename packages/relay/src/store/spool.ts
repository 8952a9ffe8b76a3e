/** A file of rows that the database could not take in time. Appended line by line; read back when it can again. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import type { RequestRow } from "../insight/row.ts";

export class Spool {
  readonly #path: string;
  #file: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Appends one row. @throws when the disk will not take it. */
  append(row: RequestRow): void {
    this.#file ??= openSync(this.#path, "a", 0o600);
    const line = Buffer.from(`${JSON.stringify(row)}\n`);
    let written = 0;
    while (written < line.length) written += writeSync(this.#file, line, written);
    fsyncSync(this.#file);
  }

  /**
   * Hands over what an earlier process left: the rows, and the way to forget them once they are stored. A last line
   * that was cut by a crash was never acknowledged and is left out.
   */
  takeOver(): { rows: RequestRow[]; forget(): void } {
    const taken = `${this.#path}.taken`;
    if (!existsSync(taken) && existsSync(this.#path)) renameSync(this.#path, taken);
    if (!existsSync(taken)) return { rows: [], forget: () => undefined };
    const rows: RequestRow[] = [];
    for (const line of readFileSync(taken, "utf8").split("\n").slice(0, -1)) rows.push(JSON.parse(line) as RequestRow);
    return { rows, forget: () => rmSync(taken) };
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}
