/**
 * One timer for all deadlines. A stream keeps its deadlines as numbers and looks at them when ticked, so that
 * neither an event nor a stream costs a timer. A deadline is noticed at most one period late.
 */
const TICK_MS = 50;

export interface Ticking {
  /** @param now milliseconds of the monotonic clock. */
  tick(now: number): void;
}

export class Ticker {
  readonly #members = new Map<Ticking, (error: unknown) => void>();
  #timer: NodeJS.Timeout | null = null;

  /** @param onBug is told what the member threw. The member is not ticked again, and the others go on. */
  add(member: Ticking, onBug: (error: unknown) => void): void {
    this.#members.set(member, onBug);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  remove(member: Ticking): void {
    this.#members.delete(member);
    if (this.#members.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    const now = performance.now();
    for (const [member, onBug] of this.#members) {
      try {
        member.tick(now);
      } catch (error) {
        this.remove(member);
        onBug(error);
      }
    }
  }
}
