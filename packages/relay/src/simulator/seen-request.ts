import { Buffer } from "node:buffer";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";

import type { FaultKind } from "./fault.ts";

/** What the simulator saw of one request; the last fields change while it is answered. Times are `performance.now()`. */
export interface SeenRequest {
  /** Counts the requests of this simulator from 1. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** The first 256 KiB of the body. */
  readonly bodyText: string;
  readonly bodyBytes: number;
  /** The parsed body; undefined if it is not JSON, or if it is longer than 256 KiB and already answered. */
  readonly json: unknown;
  readonly connectionId: number;
  readonly arrivedAt: number;
  /** The fault that this request met. */
  readonly fault: FaultKind | null;
  /** Body bytes handed to the socket, before HTTP chunks are put around them. */
  readonly bytesWritten: number;
  readonly eventsWritten: number;
  /** When the answer ended as the simulator meant it to end, a cut included. */
  readonly finishedAt: number | null;
  /** When the client closed before the answer had ended. */
  readonly closedByPeerAt: number | null;
}

/** The same record while the simulator still writes to it. */
export type SeenRecord = { -readonly [K in keyof SeenRequest]: SeenRequest[K] };

const TEXT_BYTES_MAX = 262_144;

/** Starts the record of a request whose body has been read. */
export function recordRequest(number: number, request: IncomingMessage, body: Uint8Array, connectionId: number): SeenRecord {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return {
    number,
    method: request.method ?? "",
    path: request.url ?? "",
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    bodyText: bytes.toString("utf8", 0, TEXT_BYTES_MAX),
    bodyBytes: bytes.length,
    json: parseJson(bytes),
    connectionId,
    arrivedAt: performance.now(),
    fault: null,
    bytesWritten: 0,
    eventsWritten: 0,
    finishedAt: null,
    closedByPeerAt: null,
  };
}

/** Lets go of a large parsed body once its request is answered. */
export function trimRecord(record: SeenRecord): void {
  if (record.bodyBytes > TEXT_BYTES_MAX) record.json = undefined;
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}
