/** Reads a request body, bounded in size and time. Checks its JSON while it arrives and never parses it into values. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { JsonScanner } from "@millrace/wire/json-scan";
import type { JsonFault, JsonMember } from "@millrace/wire/json-scan";
import { relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";
import { GrowingBuffer } from "../basics/growing-buffer.ts";

export interface JsonBody {
  readonly bytes: Buffer;
  /** Memory taken from the budget, to be given back. */
  readonly heldBytes: number;
  readonly members: readonly JsonMember[];
  readonly textBytes: number;
  /** Bytes of base64 media in it. */
  readonly mediaBytes: number;
}

export type BodyResult =
  | { readonly ok: true; readonly body: JsonBody }
  | { readonly ok: false; readonly error: RelayError }
  | { readonly ok: false; readonly error: null };

export interface BodyLimits {
  readonly bytesMax: number;
  /** A body may take this long, and longer as long as it comes at {@link BYTES_PER_MS_MIN}. */
  readonly graceMs: number;
}

/** 10 KB a second. */
const BYTES_PER_MS_MIN = 10;
const CHECK_MS = 1_000;
const DEPTH_MAX = 64;
const ITEMS_MAX = 50_000;

/** Bytes of all request bodies in memory together; beyond this the relay refuses new ones. */
export class BodyBudget {
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/**
 * Reads and checks the whole body. `error: null` means that the client left meanwhile. Rejects with a mistake of the relay's own:
 * thrown in a callback of the request it would end the process.
 */
export function readJsonBody(request: IncomingMessage, limits: BodyLimits, budget: BodyBudget): Promise<BodyResult> {
  const early = refuseByHead(request, limits);
  if (early !== null) return Promise.resolve({ ok: false, error: early });
  return new Promise((resolve, reject) => {
    const reading = new BodyReading(limits, budget);
    const stop = (): void => {
      clearInterval(timer);
      request.removeListener("data", onData).removeListener("end", onEnd).removeListener("close", onClose);
    };
    /** Ends the reading with the result of a step, or with what it threw; null goes on. */
    const step = (take: () => BodyResult | null): void => {
      try {
        const result = take();
        if (result === null) return;
        stop();
        if (!result.ok) reading.giveBack();
        resolve(result);
      } catch (error) {
        stop();
        reading.giveBack();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const onData = (piece: Buffer): void => step(() => reading.push(piece));
    const onEnd = (): void => step(() => reading.end());
    const onClose = (): void => step(() => ({ ok: false, error: null }));
    const timer = setInterval(() => step(() => reading.tick()), Math.min(CHECK_MS, limits.graceMs));
    request.on("data", onData).on("end", onEnd).on("close", onClose);
  });
}

/** The part of a body that has arrived. Each step returns how the reading ended, or null while it goes on. */
class BodyReading {
  readonly #scanner = new JsonScanner({ depthMax: DEPTH_MAX, itemsMax: ITEMS_MAX });
  readonly #held = new GrowingBuffer();
  readonly #startedAt = performance.now();
  readonly #limits: BodyLimits;
  readonly #budget: BodyBudget;
  /** Bytes taken of the budget. */
  #taken = 0;

  constructor(limits: BodyLimits, budget: BodyBudget) {
    this.#limits = limits;
    this.#budget = budget;
  }

  push(piece: Buffer): BodyResult | null {
    const held = this.#held;
    if (held.length + piece.length > this.#limits.bytesMax) return refused(tooLarge(this.#limits));
    const growth = held.capacityAfter(piece.length) - held.capacity;
    if (!this.#budget.take(growth))
      return refused(
        relayError("overloaded", "The request bodies in the relay's memory have reached their bound. Try again.", { retryAfterS: 1 }),
      );
    this.#taken += growth;
    held.append(piece);
    const fault = this.#scanner.push(piece);
    return fault === null ? null : refused(faultError(fault));
  }

  end(): BodyResult {
    const scanner = this.#scanner;
    const fault = scanner.end();
    if (fault !== null) return refused(faultError(fault));
    const bytes = this.#held.bytes;
    if (!isUtf8(bytes)) return refused(relayError("invalid_json", "The body is not valid UTF-8."));
    if (scanner.root !== "object") return refused(relayError("invalid_json", "The body must be a JSON object."));
    const { members, textBytes, bigStringBytes: mediaBytes } = scanner;
    return { ok: true, body: { bytes, heldBytes: this.#taken, members, textBytes, mediaBytes } };
  }

  /** Checks that the body arrives fast enough. */
  tick(): BodyResult | null {
    const lateMs = performance.now() - this.#startedAt - this.#limits.graceMs;
    if (lateMs <= 0 || this.#held.length >= lateMs * BYTES_PER_MS_MIN) return null;
    return refused(relayError("body_timeout", "The body came too slowly: send it within 30 s, or at 10 KB/s."));
  }

  giveBack(): void {
    this.#budget.give(this.#taken);
  }
}

function refused(error: RelayError): BodyResult {
  return { ok: false, error };
}

function refuseByHead(request: IncomingMessage, limits: BodyLimits): RelayError | null {
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    return relayError(
      "unsupported_media_type",
      "The relay does not accept encoded request bodies: send the JSON as it is, without Content-Encoding.",
    );
  }
  const type = request.headers["content-type"];
  if (type !== undefined && !/^\s*application\/json\s*(;|$)/i.test(type)) {
    return relayError("unsupported_media_type", "Send the body as Content-Type: application/json.");
  }
  return Number(request.headers["content-length"] ?? 0) > limits.bytesMax ? tooLarge(limits) : null;
}

function tooLarge(limits: BodyLimits): RelayError {
  return relayError("body_too_large", `The body may have at most ${limits.bytesMax} bytes.`);
}

function faultError(fault: JsonFault): RelayError {
  switch (fault.reason) {
    case "syntax":
      return relayError("invalid_json", `The body is not valid JSON (at byte ${fault.offset}).`);
    case "unfinished":
      return relayError("invalid_json", "The body ends before its JSON is complete.");
    case "depth":
      return relayError("body_too_deep", `The body is nested deeper than ${DEPTH_MAX} levels.`);
    case "items":
      return relayError("body_too_deep", `The body has more than ${ITEMS_MAX} keys and elements.`);
    case "duplicate_key":
      return relayError("invalid_request", "A key occurs twice at the top level of the body.", { param: safeParam(fault.key) });
    case "proto_key":
      return relayError("invalid_request", "The key __proto__ is not accepted.", { param: "__proto__" });
  }
}

function safeParam(key: string | undefined): string | null {
  return key === undefined ? null : key.slice(0, 64);
}
