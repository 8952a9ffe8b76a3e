import fc from "fast-check";

const encoder = new TextEncoder();

export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** Cuts bytes at the given offsets; each piece is a copy, so that nothing can read past its own end. */
export function cutAt(bytes: Uint8Array, offsets: readonly number[]): Uint8Array[] {
  const ends = [...offsets].sort((a, b) => a - b).concat(bytes.length);
  return ends.map((end, i) => bytes.slice(ends[i - 1] ?? 0, end));
}

export function cutEvery(bytes: Uint8Array, size: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  return pieces;
}

/** Offsets to cut at, as fractions, so that they fit bytes of any length. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

export function cutByFractions(bytes: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  return cutAt(
    bytes,
    fractions.map((fraction) => Math.floor(fraction * bytes.length)),
  );
}
