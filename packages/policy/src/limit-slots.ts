/** Requests in flight as leases. A lease that its owner does not renew in time runs out, so no slot is ever lost. */
export class LimitSlots {
  readonly #expiries = new Map<string, number>();
  /** No lease runs out before this. */
  #earliestMs = Infinity;

  inUse(nowMs: number): number {
    if (nowMs >= this.#earliestMs) this.#dropExpired(nowMs);
    return this.#expiries.size;
  }

  take(id: string, expiresAtMs: number): void {
    this.#expiries.set(id, expiresAtMs);
    this.#earliestMs = Math.min(this.#earliestMs, expiresAtMs);
  }

  /** Puts the expiry off, unless the lease has already run out. */
  renew(id: string, expiresAtMs: number): void {
    if (this.#expiries.has(id)) this.take(id, expiresAtMs);
  }

  give(id: string): void {
    this.#expiries.delete(id);
  }

  #dropExpired(nowMs: number): void {
    this.#earliestMs = Infinity;
    for (const [id, expiresAtMs] of this.#expiries) {
      if (expiresAtMs <= nowMs) this.#expiries.delete(id);
      else this.#earliestMs = Math.min(this.#earliestMs, expiresAtMs);
    }
  }
}
