import { once } from "node:events";
import { createGzip } from "node:zlib";

const INFLATED_BYTES = 100_000_000;
const BLOCK_BYTES = 262_144;
const bombs = new Map<number, Promise<Buffer>>();

/** A gzip body that inflates to `bytes` (default 100 MB) of one endless event; made once for each size. */
export function gzipBomb(bytes: number = INFLATED_BYTES): Promise<Buffer> {
  const known = bombs.get(bytes) ?? makeBomb(bytes);
  bombs.set(bytes, known);
  return known;
}

async function makeBomb(bytes: number): Promise<Buffer> {
  const gzip = createGzip({ level: 9 });
  const parts: Buffer[] = [];
  gzip.on("data", (part: Buffer) => parts.push(part));
  const head = 'data: {"choices":[{"index":0,"delta":{"content":"';
  gzip.write(head);
  const block = Buffer.alloc(BLOCK_BYTES, "a");
  for (let left = bytes - head.length; left > 0; left -= BLOCK_BYTES) {
    if (!gzip.write(block.subarray(0, Math.min(left, BLOCK_BYTES)))) await once(gzip, "drain");
  }
  gzip.end();
  await once(gzip, "end");
  return Buffer.concat(parts);
}
