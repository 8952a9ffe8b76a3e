/**
 * The one place that opens connections to upstreams. A port (`Dialer`) and its adapter on undici.
 *
 * Each pooled connection is an undici `Client` of its own, so that a call knows whether its socket is fresh, and
 * ending a call is ending its connection. Redirects are never followed and no library time-out is in force: the
 * clocks belong to the attempt.
 */
import { buildConnector, Client } from "undici";
import type { Dispatcher } from "undici";

interface UpstreamCall {
  readonly method: "GET" | "POST";
  readonly origin: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Uint8Array | null;
}

export type AnswerHeaders = Readonly<Record<string, string | undefined>>;

/** Why a call ended without an answer, or within one. */
export interface DialFailure {
  /** `connect`: no connection, nothing was sent. `transport`: the connection broke or spoke no HTTP. */
  readonly kind: "connect" | "transport";
  /** A machine's word such as `ECONNREFUSED`; never a text that could hold a secret. */
  readonly reason: string;
}

/** Called in this order: onSent, onHead, onData..., then exactly one of onEnd and onFailure; nothing after abort. */
export interface AnswerHandler {
  /** The request is on its way over a live connection. */
  onSent(): void;
  /** That connection was dead: another one is being set up, and `onSent` will come again. */
  onUnsent(): void;
  onHead(status: number, headers: AnswerHeaders): void;
  onData(bytes: Buffer): void;
  onEnd(): void;
  onFailure(failure: DialFailure): void;
}

export interface Call {
  pause(): void;
  resume(): void;
  /** Ends the call and its connection at once. */
  abort(): void;
}

export interface Dialer {
  dial(call: UpstreamCall, handler: AnswerHandler): Call;
  /** Closes idle connections; running calls end by their own `abort`. */
  close(): Promise<void>;
}

/** Idle connections kept per origin. */
const IDLE_MAX = 256;
const KEEP_ALIVE_MS = 30_000;
/** A pooled socket that is dead says so at once; one that dies later may have had the request. */
const REPLACE_WITHIN_MS = 2_000;
/** Read of an answer before anybody asked for it. */
const READ_AHEAD_BYTES = 16 * 1024;
const HEADER_BYTES_MAX = 32 * 1024;

class Connection {
  readonly client: Client;
  /** Requests answered over the present socket. */
  answered = 0;
  #socket: { destroy(): unknown } | undefined;

  constructor(origin: string) {
    // `highWaterMark` goes on to `net.connect`; the library's types do not list it.
    const settings: buildConnector.BuildOptions & { highWaterMark: number } = {
      timeout: 0,
      allowH2: false,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      noDelay: true,
      highWaterMark: READ_AHEAD_BYTES,
    };
    const connector = buildConnector(settings);
    this.client = new Client(origin, {
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      connectTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: 2 * KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
      connect: (target, done) => {
        this.answered = 0;
        this.#socket = connector(target, done) as unknown as { destroy(): unknown } | undefined;
      },
    });
  }

  /** Ends the socket too when it is still being set up; the client alone would let it wait for its time-out. */
  destroy(): Promise<void> {
    const ended = this.client.destroy();
    this.#socket?.destroy();
    return ended;
  }
}

/** The dialer that the relay ships with. */
export function undiciDialer(): Dialer {
  const idle = new Map<string, Connection[]>();

  function take(origin: string): Connection {
    return idle.get(origin)?.pop() ?? new Connection(origin);
  }

  function give(origin: string, connection: Connection): void {
    if (connection.client.closed || connection.client.destroyed) return;
    let stack = idle.get(origin);
    if (stack === undefined) idle.set(origin, (stack = []));
    if (stack.length < IDLE_MAX) stack.push(connection);
    else void connection.client.close();
  }

  function dial(call: UpstreamCall, handler: AnswerHandler): Call {
    let connection = take(call.origin);
    let controller: Dispatcher.DispatchController | null = null;
    let isOver = false;
    let sentAt: number | null = null;
    let sawByte = false;

    const answer: Dispatcher.DispatchHandler = {
      onRequestStart(given) {
        controller = given;
        if (sentAt !== null) return;
        sentAt = performance.now();
        if (!isOver) handler.onSent();
      },
      onResponseStarted() {
        sawByte = true;
      },
      onResponseStart(_controller, status, headers) {
        sawByte = true;
        if (!isOver && status >= 200) handler.onHead(status, flatten(headers));
      },
      onResponseData(_controller, bytes) {
        if (!isOver) handler.onData(bytes);
      },
      onResponseEnd() {
        if (isOver) return;
        isOver = true;
        connection.answered += 1;
        give(call.origin, connection);
        handler.onEnd();
      },
      onResponseError(_controller, error) {
        if (isOver) return;
        // A pooled socket that the other side had already closed: the request never arrived, so it is sent once more.
        if (sentAt !== null && !sawByte && connection.answered > 0 && performance.now() - sentAt < REPLACE_WITHIN_MS) {
          void connection.destroy();
          connection = new Connection(call.origin);
          sentAt = null;
          handler.onUnsent();
          dispatch();
          return;
        }
        isOver = true;
        void connection.destroy();
        handler.onFailure({ kind: sentAt === null ? "connect" : "transport", reason: reasonOf(error) });
      },
    };

    function dispatch(): void {
      connection.client.dispatch(
        {
          origin: call.origin,
          path: call.path,
          method: call.method,
          headers: [...call.headers],
          body: call.body,
          idempotent: false,
        },
        answer,
      );
    }

    dispatch();
    return {
      pause: () => controller?.pause(),
      resume: () => controller?.resume(),
      abort: () => {
        if (isOver) return;
        isOver = true;
        void connection.destroy();
      },
    };
  }

  return {
    dial,
    async close() {
      const all = [...idle.values()].flat();
      idle.clear();
      await Promise.all(all.map((connection) => connection.destroy()));
    },
  };
}

function flatten(headers: Record<string, string | string[] | undefined>): AnswerHeaders {
  const flat: Record<string, string | undefined> = Object.create(null) as Record<string, string | undefined>;
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    flat[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return flat;
}

/** Only an error's code leaves this file: the messages of HTTP libraries can quote header values, and so keys. */
function reasonOf(error: unknown): string {
  const seen = error as { code?: unknown; name?: unknown; cause?: { code?: unknown } } | null;
  for (const word of [seen?.code, seen?.cause?.code, seen?.name]) {
    if (typeof word === "string" && /^[A-Za-z0-9_]{1,60}$/.test(word)) return word;
  }
  return "unknown";
}
