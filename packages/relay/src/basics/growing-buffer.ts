/** Collects pieces of bytes of any size in one block, whose size is bounded by what it holds. */

const CAPACITY_MIN = 4 * 1024;

export class GrowingBuffer {
  #block: Buffer = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Memory that is taken, at most twice the length and never less than the length. */
  get capacity(): number {
    return this.#block.length;
  }

  /** The capacity, in bytes, that the buffer would have after this many more bytes. */
  capacityAfter(bytes: number): number {
    const needed = this.#length + bytes;
    if (needed <= this.#block.length) return this.#block.length;
    return Math.max(needed, Math.min(2 * this.#block.length, needed + 4 * 1024 * 1024), CAPACITY_MIN);
  }

  append(piece: Uint8Array): void {
    const capacity = this.capacityAfter(piece.length);
    if (capacity > this.#block.length) {
      const larger = Buffer.allocUnsafeSlow(capacity);
      larger.set(this.bytes);
      this.#block = larger;
    }
    this.#block.set(piece, this.#length);
    this.#length += piece.length;
  }

  /** A view of what there is; it stays as it is until the next `append` or `drop`. */
  get bytes(): Buffer {
    return this.#block.subarray(0, this.#length);
  }

  /** Replaces what there is by bytes of the same length. */
  overwrite(bytes: Uint8Array): void {
    if (bytes !== this.#block) this.#block.set(bytes);
  }

  /** Forgets the first `count` bytes. */
  drop(count: number): void {
    this.#block = Buffer.from(this.#block.subarray(count, this.#length));
    this.#length = this.#block.length;
  }
}
