import type { IncomingMessage } from "node:http";

const BODY_BYTES_MAX = 67_108_864;

/** Reads a request's body; undefined when the client left before its end, or it is larger than 64 MiB. */
export async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > BODY_BYTES_MAX) return undefined;
      parts.push(part);
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(parts);
}
