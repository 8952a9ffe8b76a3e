/**
 * The line before a data directory. Its head, place 0, has the directory to itself; who starts while all before it are draining
 * stands behind, serves what needs no books, and becomes the head when that is free. A place is a lock that the kernel takes
 * back however its process ends. Who waits and is not draining is followed by nobody, so there is one heir at most.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { errorText } from "../basics/error-text.ts";

/** Places behind the head: as many restarts may overlap. */
export const PLACES = 8;
/** Who comes or goes looks at the line alone, and for moments. */
const LOOK_WITHIN_MS = 5_000;

/** What a relay that ends says of how long that takes, in milliseconds from its signal. */
export interface Draining {
  /** Its listener takes connections for so long. */
  readonly delayMs: number;
  /** Then its answers may go on for so long. */
  readonly drainMs: number;
}

export interface Place {
  /** 0 is the head's. */
  readonly number: number;
  /** How those before it end; null where there are none. */
  readonly ahead: Draining | null;
}

/** Another process has the directory, or waits for it. */
class LineBusy extends Error {}

export class Line {
  readonly #path: string;
  readonly #locks = new Map<number, DatabaseSync>();

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Takes the head of the line, or, where all before it are draining and `mayWait`, the first free place behind.
   * @throws {LineBusy}
   */
  join(mayWait: boolean): Place {
    const place = this.#alone(LOOK_WITHIN_MS, () => this.#take(mayWait));
    if (place === null) throw new LineBusy(`another process starts or stops on ${this.#path} just now: try again`);
    return place;
  }

  #take(mayWait: boolean): Place {
    const behind = Array.from({ length: PLACES }, (_, at) => at + 1);
    const taken = behind.filter((number) => this.#isTaken(number));
    const aheads = taken.map((number) => this.#drainingOf(number));
    if (aheads.includes(null))
      throw new LineBusy(`another process waits for ${this.#path}: stop it, or choose another directory with --data`);
    if (this.tryHead()) return { number: 0, ahead: longest(aheads) };
    const head = this.#drainingOf(0);
    const number = behind.find((each) => !taken.includes(each));
    if (!mayWait || head === null || number === undefined || !this.#lock(number))
      throw new LineBusy(`another process uses ${this.#path}: stop it, or choose another directory with --data`);
    return { number, ahead: longest([head, ...aheads]) };
  }

  /** Takes the head's place when it is free. @returns whether it is ours. */
  tryHead(): boolean {
    return this.#locks.has(0) || this.#lock(0);
  }

  /**
   * Says to who starts from now on that this process ends, and when.
   * @param onTrouble told where the disk takes no mark: then who follows has to wait, and nothing else is amiss.
   */
  markDraining(draining: Draining, onTrouble: (message: string) => void): void {
    try {
      for (const number of this.#locks.keys()) {
        const mark = this.#markOf(number);
        writeFileSync(`${mark}.new`, JSON.stringify(draining), { mode: 0o600 });
        renameSync(`${mark}.new`, mark);
      }
    } catch (error) {
      onTrouble(`who starts now cannot be told that this relay ends: ${errorText(error)}`);
    }
  }

  /**
   * Does something with each place behind the head that is left, ours included: nobody joins meanwhile.
   * @returns false where the line was being looked at by another, or a place is still taken.
   */
  withLeft(act: (number: number) => void): boolean {
    const done = this.#alone(0, () => {
      const taken = Array.from({ length: PLACES }, (_, at) => at + 1).filter((number) => {
        const isLeft = this.#locks.has(number) || !this.#isTaken(number);
        if (isLeft) act(number);
        return !isLeft;
      });
      return taken.length === 0;
    });
    return done ?? false;
  }

  /** Leaves the line. The marks stay for who takes the places: until the locks are free they are true. Asked again it changes nothing. */
  release(): void {
    for (const lock of this.#locks.values()) lock.close();
    this.#locks.clear();
  }

  /** Another process has the place. Only asked by who has the line to itself: the question takes the place for a moment. */
  #isTaken(number: number): boolean {
    if (this.#locks.has(number) || !existsSync(this.#fileOf(number))) return false;
    const lock = takeLock(this.#fileOf(number), 0);
    lock?.close();
    return lock === null;
  }

  #lock(number: number): boolean {
    const lock = takeLock(this.#fileOf(number), 0);
    if (lock === null) return false;
    this.#locks.set(number, lock);
    // What somebody who was killed there left says nothing of us.
    rmSync(this.#markOf(number), { force: true });
    return true;
  }

  #alone<T>(withinMs: number, act: () => T): T | null {
    const lock = takeLock(join(this.#path, "lock.line"), withinMs);
    if (lock === null) return null;
    try {
      return act();
    } finally {
      lock.close();
    }
  }

  #drainingOf(number: number): Draining | null {
    try {
      return JSON.parse(readFileSync(this.#markOf(number), "utf8")) as Draining;
    } catch {
      // No mark, or none that is one: it does not say that it ends.
      return null;
    }
  }

  #fileOf(number: number): string {
    return join(this.#path, number === 0 ? "lock" : `lock.${number}`);
  }

  #markOf(number: number): string {
    return join(this.#path, number === 0 ? "draining" : `draining.${number}`);
  }
}

function longest(each: readonly (Draining | null)[]): Draining | null {
  const said = each.filter((draining) => draining !== null);
  if (said.length === 0) return null;
  return { delayMs: Math.max(...said.map(({ delayMs }) => delayMs)), drainMs: Math.max(...said.map(({ drainMs }) => drainMs)) };
}

function takeLock(file: string, withinMs: number): DatabaseSync | null {
  const database = new DatabaseSync(file, { timeout: withinMs });
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return database;
  } catch {
    database.close();
    return null;
  }
}
