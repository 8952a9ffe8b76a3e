/** Parts of the hot path that throw at a chosen call, so that every place in which a mistake could be is tried. */

/** Counts calls, and throws at one of them. */
export class ThrowAt {
  calls = 0;
  readonly #at: number;

  /** @param at number of the call that throws, 1 for the first; Infinity for none. */
  constructor(at: number) {
    this.#at = at;
  }

  get hasThrown(): boolean {
    return this.calls >= this.#at;
  }

  call(name: string): void {
    this.calls += 1;
    if (this.calls === this.#at) throw new Error(`planted at call ${this.#at}: ${name}`);
  }

  /** The part with each of its methods, and those of the objects in `inner`, counted. */
  in<T extends object>(part: T, inner: readonly string[] = []): T {
    return new Proxy(part, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value === "function") {
          return (...given: unknown[]): unknown => {
            this.call(String(name));
            return Reflect.apply(value, target, given);
          };
        }
        return inner.includes(String(name)) && typeof value === "object" && value !== null ? this.in(value) : value;
      },
    });
  }
}
