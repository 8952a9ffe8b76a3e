/**
 * Tells when files are no longer as they were read. They are looked at, not listened to: what a path leads to is followed, so that a
 * file that is replaced by a rename, by a swap of a symbolic link above it or in place is seen alike, on every file system.
 */
import { statSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** How often files are looked at. */
const LOOK_MS = 100;
/** A file that changed is left alone until it stays as it is for so long: whoever writes it may not be done. */
const QUIET_MS = 300;
/** What could not be taken is tried again after this. */
const AGAIN_MS = 1_000;

/** What files looked like, by their absolute paths. */
export type FileStamps = ReadonlyMap<string, string>;

interface FileWatchParts {
  /** What the files looked like just before they were last read. */
  readonly stamps: () => FileStamps;
  /** Told when files have changed since, and have been quiet for a moment. @returns false to be called again in a second. */
  readonly onChange: () => Promise<boolean>;
}

export class FileWatch {
  readonly #parts: FileWatchParts;
  readonly #end = new AbortController();
  #seen = "";
  #seenAt = 0;
  #isOwed = false;
  #notBefore = 0;

  private constructor(parts: FileWatchParts) {
    this.#parts = parts;
  }

  static begin(parts: FileWatchParts): FileWatch {
    const watch = new FileWatch(parts);
    void watch.#run();
    return watch;
  }

  close(): void {
    this.#end.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.#look(performance.now());
    }
  }

  async #look(now: number): Promise<void> {
    const read = this.#parts.stamps();
    const found = await Promise.all([...read.keys()].map(stampLater));
    const seen = found.join("\n");
    if (seen !== this.#seen) [this.#seen, this.#seenAt] = [seen, now];
    const isChanged = [...read.values()].some((stamp, at) => stamp !== found[at]);
    if ((!isChanged && !this.#isOwed) || now - this.#seenAt < QUIET_MS || now < this.#notBefore) return;
    this.#isOwed = !(await this.#parts.onChange());
    if (this.#isOwed) this.#notBefore = now + AGAIN_MS;
  }
}

/** A text that differs whenever the file does: another inode, size or time, or none that can be read. */
export function stampOf(path: string): string {
  try {
    return textOf(statSync(path, { bigint: true }));
  } catch (error) {
    return codeOf(error);
  }
}

async function stampLater(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(textOf, codeOf);
}

function textOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "unknown";
}
