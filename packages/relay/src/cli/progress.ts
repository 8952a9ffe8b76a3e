/** Shows the progress of long work on standard error: one line that changes on a terminal, or now and then a new line elsewhere. */

const SILENT_MS = 1_000;
const TERMINAL_EVERY_MS = 100;
const ELSEWHERE_EVERY_MS = 5_000;
const BAR_CELLS = 30;

export class Progress {
  readonly #out: NodeJS.WriteStream;
  #nextAt = performance.now() + SILENT_MS;
  #isShown = false;

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
  }

  show(stage: string, done: number, total: number): void {
    const now = performance.now();
    if (now < this.#nextAt) return;
    this.#nextAt = now + (this.#out.isTTY ? TERMINAL_EVERY_MS : ELSEWHERE_EVERY_MS);
    const share = total === 0 ? 1 : Math.min(1, done / total);
    const bar = "#".repeat(Math.round(share * BAR_CELLS)).padEnd(BAR_CELLS, ".");
    const line = `${stage} [${bar}] ${grouped(done)} of ${grouped(total)} rows`;
    this.#out.write(this.#out.isTTY ? `\r${line}` : `${line}\n`);
    this.#isShown = true;
  }

  /** Clears the terminal's line for the next output. */
  end(): void {
    if (this.#isShown && this.#out.isTTY) this.#out.write("\r\u001B[K");
  }
}

export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}
