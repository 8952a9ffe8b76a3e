/** Spool files of relays that stood in line and are gone: whoever has the directory stores what is in them. */
import { errorText } from "../../basics/error-text.ts";
import { spoolOf } from "../data-directory.ts";
import type { Line } from "../line.ts";
import type { RowKeeper } from "./row-keeper.ts";

const AGAIN_EVERY_MS = 10_000;

export interface LeftSpoolsParts {
  readonly path: string;
  readonly line: Pick<Line, "withLeft">;
  readonly rows: Pick<RowKeeper, "withSpool" | "catchUp">;
  /** Told about trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export class LeftSpools {
  readonly #parts: LeftSpoolsParts;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(parts: LeftSpoolsParts) {
    this.#parts = parts;
  }

  /**
   * Makes them one with the keeper's own, which moves to the head's place. What somebody who still ends writes into is
   * looked at again. Only for the head of the line. Never rejects.
   */
  async collect(): Promise<void> {
    const { path, line, rows, onTrouble } = this.#parts;
    let isDone = false;
    try {
      await rows.withSpool((spool) => {
        spool.moveTo(spoolOf(path, 0));
        isDone = line.withLeft((number) => spool.adopt(spoolOf(path, number)));
      });
    } catch (error) {
      onTrouble(`the spool files in ${path} cannot be made one: ${errorText(error)}`);
    }
    if (isDone || this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#again(), AGAIN_EVERY_MS).unref();
  }

  async #again(): Promise<void> {
    await this.collect();
    await this.#parts.rows.catchUp();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
