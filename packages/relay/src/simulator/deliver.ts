import type { OutgoingHttpHeaders } from "node:http";
import { gzipSync } from "node:zlib";

import { echoHeaders, echoTrailers } from "./echo.ts";
import type { SimulatedExchange } from "./exchange.ts";
import type { Fault } from "./fault.ts";
import { collectBytes, play } from "./pace.ts";
import type { Step } from "./pace.ts";
import type { RawAnswer, RawPiece } from "./scenario.ts";

/** A response as data: what `deliver` sends, bent by the exchange's fault. */
export interface Delivery {
  readonly status: number;
  readonly contentType: string;
  readonly steps: Iterable<Step>;
  /** Known for a plain body; without it the body goes out in HTTP chunks. */
  readonly bodyBytes?: number;
  readonly headers?: OutgoingHttpHeaders;
  /** Whether the headers leave before the first body byte. */
  readonly sendsHeadersEarly?: boolean;
}

const MISSING_BYTES = 100;
const BIG_HEADER_BYTES = 40_960;
const IDLE_MS = 50;
const FORGED_RESPONSE = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + '{"forged":true}';

/** Sends a response: interim answers, headers, body, trailers, the end, and what the fault adds after it. */
export async function deliver(exchange: SimulatedExchange, delivery: Delivery): Promise<void> {
  const { outlet, fault } = exchange;
  sendInterim(exchange);
  const packed = pack(fault, delivery);
  const headers = responseHeaders(exchange, packed);
  outlet.open(packed.status, headers, packed.sendsHeadersEarly === true ? "at-once" : "with-body");
  await play(packed.steps, outlet);
  if (fault?.kind === "echo" && packed.bodyBytes === undefined && !outlet.isOver) {
    exchange.response.addTrailers(echoTrailers(exchange.request.headers));
  }
  await finish(exchange);
}

/** Sends a body that is ready. */
export async function deliverBody(
  exchange: SimulatedExchange,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: OutgoingHttpHeaders = {},
): Promise<void> {
  const steps: Step[] = body.length === 0 ? [] : [{ kind: "bytes", bytes: body, isEvent: false }];
  await deliver(exchange, {
    status,
    contentType,
    steps,
    bodyBytes: Buffer.byteLength(body),
    headers,
  });
}

/** Sends an answer that a test gave byte for byte. */
export async function deliverRaw(exchange: SimulatedExchange, raw: RawAnswer): Promise<void> {
  const { outlet } = exchange;
  outlet.open(raw.status ?? 200, raw.headers ?? { "content-type": "text/event-stream" });
  for (const piece of rawPieces(raw.body)) {
    await outlet.sleep(piece.afterMs);
    await outlet.send(piece.bytes);
  }
  await outlet.end(raw.end);
}

function rawPieces(body: Uint8Array | readonly RawPiece[]): readonly RawPiece[] {
  return body instanceof Uint8Array ? [{ bytes: body, afterMs: 0 }] : body;
}

function sendInterim({ fault, response }: SimulatedExchange): void {
  if (fault?.kind === "100-then-103") response.writeContinue();
  if (fault?.kind === "100-then-103" || fault?.kind === "early-hints") {
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
  }
}

function responseHeaders(exchange: SimulatedExchange, delivery: Delivery): OutgoingHttpHeaders {
  const { fault, scenario, outlet } = exchange;
  const hidesLength = fault?.kind === "tiny-chunks" || fault?.kind === "close-delimited";
  return {
    "content-type": delivery.contentType,
    "x-request-id": `req_simulator_${outlet.seen.number}`,
    "openai-processing-ms": String(scenario.ttftMs),
    ...(delivery.bodyBytes === undefined || hidesLength ? {} : { "content-length": delivery.bodyBytes }),
    ...delivery.headers,
    ...scenario.headers,
    ...(fault?.kind === "big-header" ? { "x-big": "b".repeat(fault.bytes ?? BIG_HEADER_BYTES) } : {}),
    ...(fault?.kind === "echo" ? echoHeaders(exchange.request.headers, delivery.bodyBytes === undefined) : {}),
  };
}

/** Two faults send the whole body at once: compressed, or under a Content-Length that promises more. */
function pack(fault: Fault | null, delivery: Delivery): Delivery {
  if (fault?.kind === "gzip") {
    const headers = { ...delivery.headers, "content-encoding": "gzip" };
    return { ...wholeBody(delivery, gzipSync(collectBytes(delivery.steps)), 0), headers };
  }
  if (fault?.kind !== "short-length") return delivery;
  return wholeBody(delivery, collectBytes(delivery.steps), fault.missingBytes ?? MISSING_BYTES);
}

function wholeBody(delivery: Delivery, bytes: Uint8Array, missingBytes: number): Delivery {
  return {
    ...delivery,
    steps: [{ kind: "bytes", bytes, isEvent: true }],
    bodyBytes: bytes.length + missingBytes,
  };
}

async function finish(exchange: SimulatedExchange): Promise<void> {
  const { outlet, fault, connection } = exchange;
  if (outlet.isOver) return;
  const ended = outlet.end(fault?.kind === "short-length" ? "fin" : "clean");
  if (fault?.kind === "extra-bytes" && fault.when === "same-tick") outlet.socket.write(FORGED_RESPONSE);
  await ended;
  if (fault?.kind === "extra-bytes" && fault.when === "idle") await writeWhileIdle(exchange);
  if (fault?.kind === "close-idle" && fault.when === "after") outlet.socket.destroySoon();
  if (fault?.kind === "close-idle" && fault.when === "reuse") connection.closesOnReuse = true;
}

async function writeWhileIdle({ outlet, connection }: SimulatedExchange): Promise<void> {
  await outlet.sleep(IDLE_MS);
  if (connection.outlets.size === 1 && !outlet.socket.destroyed) outlet.socket.write(FORGED_RESPONSE);
}
