import { createHash } from "node:crypto";

/** A source of numbers in [0, 1) that always gives the same sequence for the same start. */
export type Draw = () => number;

/** Starts a sequence from a seed and any bytes: the same two give the same sequence, on every machine. */
export function drawFrom(seed: number, text: string | Uint8Array): Draw {
  const digest = createHash("sha256").update(`${seed}\0`).update(text).digest();
  let a = digest.readUInt32LE(0);
  let b = digest.readUInt32LE(4);
  let c = digest.readUInt32LE(8);
  let counter = digest.readUInt32LE(12);
  // sfc32: small, fast and good enough for everything but secrets.
  return () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 4_294_967_296;
  };
}

/** A whole number from `min` to `max`, both included. */
export function drawInteger(draw: Draw, min: number, max: number): number {
  return min + Math.floor(draw() * (max - min + 1));
}

/** `length` hexadecimal digits. */
export function drawHex(draw: Draw, length: number): string {
  let digits = "";
  for (let place = 0; place < length; place += 1) digits += drawInteger(draw, 0, 15).toString(16);
  return digits;
}
