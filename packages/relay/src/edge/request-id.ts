/** Makes ids of requests that sort by time and cannot be guessed. Most need no system call. */
import { randomFillSync } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_CHARACTERS = 16;
const pool = Buffer.alloc(4096);
let used = pool.length;

/** `req_`, nine characters of time (milliseconds, base 32), sixteen of chance. */
export function newRequestId(now: number): string {
  let time = "";
  let rest = now;
  for (let i = 0; i < 9; i++) {
    time = ALPHABET.charAt(rest % 32) + time;
    rest = Math.floor(rest / 32);
  }
  if (used + RANDOM_CHARACTERS > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let chance = "";
  for (let i = 0; i < RANDOM_CHARACTERS; i++) chance += ALPHABET.charAt((pool[used + i] ?? 0) % 32);
  used += RANDOM_CHARACTERS;
  return `req_${time}${chance}`;
}
