/** Writes lines to a file descriptor. It never blocks or ends the process when a line cannot be written. */
import { write } from "node:fs";

/** The most lines that wait to be written; further lines are lost. */
const WAITING_CHARS_MAX = 4 * 1024 * 1024;
const AGAIN_MS = 250;
const FLUSH_WITHIN_MS = 1_000;

/**
 * A log may be a file on a full disk, or a pipe that nobody reads. Lines then wait, up to a bound, and are tried again. (Pino's
 * own writer ends the process at the first such error, and at its end waits for ever.)
 */
export class LineWriter {
  readonly #fd: number;
  #waiting: string[] = [];
  #waitingChars = 0;
  /** Bytes of the write under way that are not written yet. */
  #batch: Buffer | null = null;
  #whenIdle: (() => void)[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#waitingChars + line.length > WAITING_CHARS_MAX) return;
    this.#waiting.push(line);
    this.#waitingChars += line.length;
    if (this.#batch === null) this.#next();
  }

  /** Resolves once all is written, and after a second in any case. */
  async flush(): Promise<void> {
    if (this.#batch === null) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#whenIdle.push(resolve);
      timer = setTimeout(resolve, FLUSH_WITHIN_MS);
    });
    clearTimeout(timer);
  }

  #next(): void {
    this.#batch = this.#waiting.length === 0 ? null : Buffer.from(this.#waiting.join(""));
    this.#waiting = [];
    this.#waitingChars = 0;
    if (this.#batch === null) for (const resolve of this.#whenIdle.splice(0)) resolve();
    else this.#send(this.#batch);
  }

  #send(batch: Buffer): void {
    write(this.#fd, batch, (error, written) => {
      const left = error === null ? batch.subarray(written) : batch;
      if (left.length === 0) return this.#next();
      this.#batch = left;
      if (error === null) this.#send(left);
      else setTimeout(() => this.#send(left), AGAIN_MS).unref();
    });
  }
}
