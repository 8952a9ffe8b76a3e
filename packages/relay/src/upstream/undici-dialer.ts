/**
 * The dialer on undici: the one place that opens connections to upstreams.
 *
 * Each pooled connection is an undici `Client` of its own, so that a call knows whether its socket is fresh, and ending a call
 * ends its connection. It never follows a redirect, and no time-out of the library is in force: the attempt keeps the clocks.
 */
import { buildConnector, Client } from "undici";
import type { Dispatcher } from "undici";
import type { AnswerHandler, AnswerHeaders, Call, Dialer, UpstreamCall } from "./dialer.ts";

/** Idle connections kept per origin. */
const IDLE_MAX = 256;
const KEEP_ALIVE_MS = 30_000;
/** A pooled socket that is dead says so at once; one that dies later may have had the request. */
const REPLACE_WITHIN_MS = 2_000;
/** Bytes of an answer that the socket may read ahead of the attempt. */
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

  /** Also ends a socket that is still being set up: undici's client alone would let it wait for its time-out. */
  destroy(): Promise<void> {
    const ended = this.client.destroy();
    this.#socket?.destroy();
    return ended;
  }
}

/** Idle connections by origin, the one used last on top. */
class ConnectionPool {
  readonly #idle = new Map<string, Connection[]>();

  take(origin: string): Connection {
    return this.#idle.get(origin)?.pop() ?? new Connection(origin);
  }

  give(origin: string, connection: Connection): void {
    if (connection.client.closed || connection.client.destroyed) return;
    let stack = this.#idle.get(origin);
    if (stack === undefined) this.#idle.set(origin, (stack = []));
    if (stack.length < IDLE_MAX) stack.push(connection);
    else void connection.client.close();
  }

  async close(): Promise<void> {
    const all = [...this.#idle.values()].flat();
    this.#idle.clear();
    await Promise.all(all.map((connection) => connection.destroy()));
  }
}

/** One call on one connection, or on two if the first was dead before anything was sent over it. */
class DispatchedCall implements Call, Dispatcher.DispatchHandler {
  readonly #call: UpstreamCall;
  readonly #handler: AnswerHandler;
  readonly #pool: ConnectionPool;
  #connection: Connection;
  #controller: Dispatcher.DispatchController | null = null;
  #isOver = false;
  #sentAt: number | null = null;
  #sawByte = false;

  constructor(call: UpstreamCall, handler: AnswerHandler, pool: ConnectionPool) {
    this.#call = call;
    this.#handler = handler;
    this.#pool = pool;
    this.#connection = pool.take(call.origin);
  }

  dispatch(): void {
    const { origin, path, method, headers, body } = this.#call;
    this.#connection.client.dispatch({ origin, path, method, headers: [...headers], body, idempotent: false }, this);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    void this.#connection.destroy();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#sentAt !== null) return;
    this.#sentAt = performance.now();
    if (!this.#isOver) this.#handler.onRequestStart();
  }

  onResponseStarted(): void {
    this.#sawByte = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#sawByte = true;
    if (!this.#isOver && status >= 200) this.#handler.onResponseStart(status, flatten(headers));
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (!this.#isOver) this.#handler.onResponseData(bytes);
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection.answered += 1;
    this.#pool.give(this.#call.origin, this.#connection);
    this.#handler.onResponseEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isOver) return;
    if (this.#wasDead) return this.#replace();
    this.#isOver = true;
    void this.#connection.destroy();
    this.#handler.onResponseError({ kind: this.#sentAt === null ? "connect" : "transport", reason: reasonOf(error) });
  }

  /** A pooled socket that the other side had already closed: the request never arrived. */
  get #wasDead(): boolean {
    const isYoung = this.#sentAt !== null && performance.now() - this.#sentAt < REPLACE_WITHIN_MS;
    return isYoung && !this.#sawByte && this.#connection.answered > 0;
  }

  /** Sends the request once more, over a connection that nobody has used. */
  #replace(): void {
    void this.#connection.destroy();
    this.#connection = new Connection(this.#call.origin);
    this.#sentAt = null;
    this.#handler.onRequestReset();
    this.dispatch();
  }
}

/** The dialer that the relay ships with. */
export function undiciDialer(): Dialer {
  const pool = new ConnectionPool();
  return {
    dial(call, handler) {
      const dispatched = new DispatchedCall(call, handler, pool);
      dispatched.dispatch();
      return dispatched;
    },
    close: () => pool.close(),
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
