/** Counts refused credentials by client address, so that a client cannot go on guessing tokens. */
import { isIPv6 } from "node:net";

const ATTEMPTS_MAX = 20;
const WINDOW_MS = 60_000;
const ADDRESSES_MAX = 10_000;

interface Count {
  failures: number;
  readonly endsAtMs: number;
}

export class FailedAttempts {
  /** In the order in which their windows end. */
  readonly #counts = new Map<string, Count>();

  /** Seconds until this address may try again, or null when it may now. */
  waitOf(address: string, nowMs: number): number | null {
    const count = this.#counts.get(placeOf(address));
    if (count === undefined || count.endsAtMs <= nowMs || count.failures < ATTEMPTS_MAX) return null;
    return Math.ceil((count.endsAtMs - nowMs) / 1000);
  }

  note(address: string, nowMs: number): void {
    const place = placeOf(address);
    const count = this.#counts.get(place);
    if (count !== undefined && count.endsAtMs > nowMs) {
      count.failures++;
      return;
    }
    this.#counts.delete(place);
    const [first] = this.#counts.keys();
    if (this.#counts.size >= ADDRESSES_MAX && first !== undefined) this.#counts.delete(first);
    this.#counts.set(place, { failures: 1, endsAtMs: nowMs + WINDOW_MS });
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#counts.size;
  }
}

/** An IPv6 client has a whole /64 to itself. */
function placeOf(address: string): string {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const more = tail === undefined ? [] : tail.split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - more.length) }, () => "0");
  return [...groups, ...zeros, ...more].slice(0, 4).join(":");
}
