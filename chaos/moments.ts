/**
 * Moments at which a kill may do the most harm. The part of the trial that sees one reports it; the kill that waits for it then
 * happens, at once or a little later.
 */

export type Moment =
  /** The upstream has just been asked. */
  | "asked"
  /** A client saw the finish reason: the settlement is under way. */
  | "finish"
  /** A client saw `[DONE]`. */
  | "done"
  /** A credit was asked for. */
  | "credit";

/** The moments to draw from. `done` is there twice, because what the relay promised with `[DONE]` must not be lost. */
export const MOMENTS: readonly Moment[] = ["asked", "finish", "done", "done", "credit"];

export class Moments {
  #waiting: { readonly moment: Moment; readonly act: () => void } | null = null;

  /** Calls `act` this long after the next such moment (0: before anything else happens), or after `withinMs` if there is none. */
  async at(moment: Moment, afterMs: number, withinMs: number, act: () => void): Promise<void> {
    let isDone = false;
    await new Promise<void>((resolve) => {
      const once = (): void => {
        clearTimeout(timer);
        this.#waiting = null;
        if (isDone) return;
        isDone = true;
        act();
        resolve();
      };
      const timer = setTimeout(once, withinMs);
      this.#waiting = { moment, act: afterMs === 0 ? once : () => void setTimeout(once, afterMs) };
    });
  }

  note(moment: Moment): void {
    if (this.#waiting?.moment === moment) this.#waiting.act();
  }
}
